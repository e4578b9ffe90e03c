using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Farm.Bench;

/// <summary>QEMU, as a rule with its translator (TCG); the text screen is read from guest memory through QMP.</summary>
internal sealed class QemuEmulator(string accelerator = "tcg") : Emulator(accelerator == "tcg" ? "qemu" : $"qemu {accelerator}")
{
    private const string Program = "qemu-system-i386";

    /// <summary>
    /// With KVM without its paravirtual features: the guest sees what it sees on Farm. And without what QEMU does at an access to the TPR, for
    /// Windows XP: it reads all registers and writes them back, TR with its busy bit, which the emulated SVM of the nested machine refuses at
    /// the next interrupt in ring 3, so that Debian's installer never reaches its dialog.
    /// </summary>
    private readonly string[] _machine = accelerator == "kvm"
        ? ["-machine", "pc", "-accel", "kvm", "-cpu", "pentium3,kvm=off", "-global", "kvm-apic.vapic=off"]
        : ["-machine", "pc", "-accel", accelerator, "-cpu", "pentium3"];

    /// <summary>Milliseconds between two looks at the screen: on KVM they cost the nested machine's one processor.</summary>
    private readonly int _lookEvery = accelerator == "tcg" ? 10 : 100;

    public override string Describe() => $"{Output(Program, "--version")}, {string.Join(' ', _machine)}";

    public override string? Missing() => OnPath(Program) ? null : "the Debian package qemu-system-x86 is not installed";

    public override Measurement RunLoop(string floppy, TimeSpan limit)
    {
        using var child = new Child(Program, [.. Common(new Medium(Floppy: floppy)), "-serial", "stdio", "-monitor", "none"], limit, output: true);
        return LoopWatch.Wait(child, LoopWatch.Pipe(child.Output));
    }

    public override Measurement Boot(Medium medium, string expect, TimeSpan limit) => InFolder(folder =>
    {
        string socket = Path.Combine(folder, "qmp"), dump = Path.Combine(folder, "screen");
        using var child = new Child(Program, [.. Common(medium), "-serial", "null", "-monitor", "none", "-qmp", $"unix:{socket},server=on,wait=off"], limit);
        if (Qmp.Connect(socket, child) is not { } qmp)
            return Measurement.Failed(child.Error);
        using var connection = qmp;
        var pattern = new Regex(expect);
        while (!child.Ended)
        {
            double wall = child.Wall;
            if (!qmp.Execute("pmemsave", new { val = 0xB8000, size = 0x8000, filename = dump }))
                break;
            if (pattern.IsMatch(Text(File.ReadAllBytes(dump))))
                return new(wall, child.Now.Cpu);
            Thread.Sleep(_lookEvery);
        }
        return Measurement.Failed($"not there within {limit.TotalSeconds:F0} s");
    });

    private IEnumerable<string> Common(Medium medium)
    {
        List<string> arguments = [.. _machine, "-m", $"{medium.MemoryMiB}", "-display", "none", "-net", "none"];
        if (medium.Floppy is { } floppy)
            arguments.AddRange(["-drive", $"if=floppy,format=raw,snapshot=on,file={floppy}", "-boot", "a"]);
        if (medium.Cdrom is { } cdrom)
            arguments.AddRange(["-cdrom", cdrom, "-boot", "d"]);
        if (medium.Disk is { } disk)
            arguments.AddRange(["-drive", $"if=ide,format=raw,snapshot=on,file={disk}", "-boot", "c"]);
        return arguments;
    }

    /// <summary>The characters of the whole window, so that a start address does not matter, in lines of 80.</summary>
    private static string Text(byte[] cells)
    {
        var text = new StringBuilder();
        for (int i = 0; i + 1 < cells.Length; i += 2)
        {
            text.Append(cells[i] is >= 32 and < 127 ? (char)cells[i] : ' ');
            if (i / 2 % 80 == 79)
                text.Append('\n');
        }
        return text.ToString();
    }

    /// <summary>QEMU's machine protocol: a line of JSON each way.</summary>
    private sealed class Qmp : IDisposable
    {
        private readonly Socket _socket;
        private readonly StreamReader _reader;

        private Qmp(Socket socket)
        {
            _socket = socket;
            _reader = new StreamReader(new NetworkStream(_socket));
            _reader.ReadLine();
            Execute("qmp_capabilities", new { });
        }

        /// <summary>Null when QEMU ended before it listened.</summary>
        public static Qmp? Connect(string path, Child qemu)
        {
            while (!qemu.Ended)
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    socket.Connect(new UnixDomainSocketEndPoint(path));
                    return new Qmp(socket);
                }
                catch (Exception e) when (e is SocketException or IOException)
                {
                    socket.Dispose();
                    Thread.Sleep(1);
                }
            }
            return null;
        }

        /// <summary>False when the connection is gone.</summary>
        public bool Execute(string command, object arguments)
        {
            try
            {
                _socket.Send(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(new { execute = command, arguments }) + "\n"));
                while (_reader.ReadLine() is { } line)
                {
                    if (line.Contains("\"return\"", StringComparison.Ordinal))
                        return true;
                    if (line.Contains("\"error\"", StringComparison.Ordinal))
                        throw new InvalidOperationException($"QEMU refused {command}: {line}");
                }
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
                // It was killed.
            }
            return false;
        }

        public void Dispose()
        {
            _reader.Dispose();
            _socket.Dispose();
        }
    }
}
