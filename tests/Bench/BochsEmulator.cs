using System.Globalization;
using System.Text.RegularExpressions;

namespace Farm.Bench;

/// <summary>
/// Bochs, an interpreter as well, with its text terminal. Debian builds it with its debugger, which waits for a command at the start and
/// costs some of the speed; it then shows the screen on a pseudo-terminal that it opens. Interrupted, it says how many ticks it has run: an
/// instruction is one, and in HLT it ticks as well.
/// </summary>
internal sealed class BochsEmulator() : Emulator("bochs")
{
    private const string Program = "bochs", Bios = "/usr/share/bochs/BIOS-bochs-latest", VgaBios = "/usr/share/vgabios/vgabios.bin";

    public override string Describe() => $"{Regex.Match(Output("dpkg-query", "-W", "bochs"), @"[0-9]\S*").Value}, built with debugger, display term, 100 MIPS nominal, time not tied to the host's";

    public override string? Missing() =>
        !OnPath(Program) || !File.Exists("/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so") ? "the Debian packages bochs and bochs-term are not installed"
        : !File.Exists(Bios) || !File.Exists(VgaBios) ? "the Debian packages bochsbios and vgabios are not installed"
        : null;

    public override Measurement RunLoop(string floppy, TimeSpan limit) => InFolder(folder =>
    {
        string serial = Path.Combine(folder, "serial");
        using var child = Start(folder, new Medium(Floppy: floppy), $"com1: enabled=1, mode=file, dev={serial}", limit);
        using var terminal = Terminal(child, limit, output: false).Process;
        return LoopWatch.Wait(child, LoopWatch.Growing(serial));
    });

    public override Measurement Boot(Medium medium, string expect, TimeSpan limit) => InFolder(folder =>
    {
        using var child = Start(folder, medium, "", limit);
        var (reader, log) = Terminal(child, limit, output: true);
        using var terminal = reader;
        var screen = new TerminalScreen();
        var pattern = new Regex(expect);
        byte[] buffer = new byte[65536];
        int count;
        while ((count = terminal.Output.Read(buffer)) > 0)
        {
            var now = child.Now;
            screen.Write(buffer.AsSpan(0, count));
            if (!pattern.IsMatch(screen.Text))
                continue;
            child.Interrupt();
            while (terminal.Output.Read(buffer) > 0)
            {
                // It draws on until it has ended.
            }
            return new(now.Wall, now.Cpu, Ticks(log.Result));
        }
        return Measurement.Failed($"not there within {limit.TotalSeconds:F0} s, or ended; last line: {screen.Text.Trim().Split('\n')[^1]}");
    });

    private static Child Start(string folder, Medium medium, string extra, TimeSpan limit)
    {
        var lines = new List<string>
        {
            "display_library: term",
            "plugin_ctrl: speaker=0",
            $"romimage: file={Bios}",
            $"vgaromimage: file={VgaBios}",
            $"megs: {medium.MemoryMiB.ToString(CultureInfo.InvariantCulture)}",
            "cpu: model=p3_katmai, count=1, ips=100000000, reset_on_triple_fault=0",
            "clock: sync=none, time0=1151755200",
            $"log: {folder}/log",
            "panic: action=fatal",
            "error: action=ignore",
            "mouse: enabled=0",
            extra,
        };
        if (medium.Floppy is { } floppy)
            lines.AddRange([$"floppya: 1_44={Copy(folder, floppy)}, status=inserted", "boot: floppy"]);
        if (medium.Cdrom is { } cdrom)
            lines.AddRange(["ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14", $"ata0-master: type=cdrom, path={cdrom}, status=inserted", "boot: cdrom"]);
        if (medium.Disk is { } disk)
            lines.AddRange(["ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14", $"ata0-master: type=disk, mode=flat, path={Copy(folder, disk)}", "boot: disk"]);
        string rc = Path.Combine(folder, "bochsrc");
        File.WriteAllLines(rc, lines);
        string commands = Path.Combine(folder, "commands");
        File.WriteAllText(commands, "continue\nquit\n");
        return new Child("bash", ["-c", $"TERM=vt100 LINES={TerminalScreen.Rows} COLUMNS={TerminalScreen.Columns} exec {Program} -q -f {rc} -rc {commands} 2>&1"], limit, output: true);
    }

    private static long? Ticks(string log) =>
        Regex.Matches(log, @"Next at t=([0-9]+)") is [.., var last] && long.Parse(last.Groups[1].Value, CultureInfo.InvariantCulture) is > 0 and var ticks ? ticks : null;

    /// <summary>Reads the terminal that Bochs names, which would wait for a reader else, and what Bochs says after that.</summary>
    private static (Child Process, Task<string> Log) Terminal(Child bochs, TimeSpan limit, bool output)
    {
        var reader = new StreamReader(bochs.Output);
        while (reader.ReadLine() is { } line)
        {
            if (Regex.Match(line, "connected to screen \"(/dev/pts/[0-9]+)\"") is { Success: true } match)
            {
                string path = match.Groups[1].Value;
                return (new Child("bash", ["-c", $"exec 3<>{path}; stty raw -echo -F {path}; exec cat <&3"], limit, output), reader.ReadToEndAsync());
            }
        }
        throw new InvalidOperationException("Bochs ended before it opened its terminal.");
    }

    /// <summary>Bochs opens its media for writing.</summary>
    private static string Copy(string folder, string image)
    {
        string copy = Path.Combine(folder, Path.GetFileName(image));
        File.Copy(image, copy);
        return copy;
    }
}
