using System.Buffers;
using System.ComponentModel;
using System.Diagnostics;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Farm.Contracts.Api;
using Farm.Vm;

namespace Farm.Worker.VmHost;

/// <summary>How a child ended.</summary>
/// <param name="ExitCode">128 + n when signal n killed it.</param>
/// <param name="Trouble">One sentence when it did not end as it should, else null.</param>
public sealed record VmExit(int ExitCode, string? Trouble);

/// <summary>One VM's child process, seen from the worker. Disposing kills it.</summary>
public sealed class VmProcess : IAsyncDisposable
{
    /// <summary>A line longer than this is no message: the child has lost its mind.</summary>
    private const int LongestLine = 4 << 20;
    private const int LongestErrors = 4000;

    private readonly Process _process;
    private readonly StringBuilder _errors = new();
    private readonly Task _readErrors;

    private VmProcess(Process process)
    {
        _process = process;
        _readErrors = ReadErrors();
    }

    public int Id => _process.Id;

    /// <summary>Starts the child and hands it its job.</summary>
    /// <exception cref="VmHostException">It cannot be started.</exception>
    public static async Task<VmProcess> Start(VmHostCommand command, VmJob job, CancellationToken cancel)
    {
        var start = new ProcessStartInfo(command.FileName, command.Arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(false),
            StandardErrorEncoding = Encoding.UTF8,
            WorkingDirectory = job.Folder,
        };
        start.Environment["DOTNET_gcServer"] = "0";
        start.Environment["DOTNET_TieredPGO"] = "1";
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (Win32Exception e)
        {
            throw new VmHostException($"The VM's process {command.FileName} cannot be started: {e.Message}", e);
        }
        LowerPriority(process);
        var child = new VmProcess(process);
        try
        {
            await process.StandardInput.WriteLineAsync(JsonSerializer.Serialize(job, FarmJson.Options).AsMemory(), cancel);
            await process.StandardInput.FlushAsync(cancel);
        }
        catch (IOException)
        {
            // it died at once: its exit says more
        }
        return child;
    }

    /// <summary>Messages until the child closes its output. A line that is none ends them with an exception.</summary>
    /// <exception cref="VmHostException">The child wrote something that is no message.</exception>
    public async IAsyncEnumerable<VmMessage> Messages([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancel)
    {
        var pipe = PipeReader.Create(_process.StandardOutput.BaseStream, new(bufferSize: 64 * 1024));
        long searched = 0;
        while (true)
        {
            var read = await pipe.ReadAsync(cancel);
            var buffer = read.Buffer;
            while (buffer.Slice(searched).PositionOf((byte)'\n') is { } end)
            {
                if (Parse(buffer.Slice(0, end)) is { } message)
                    yield return message;
                buffer = buffer.Slice(buffer.GetPosition(1, end));
                searched = 0;
            }
            if (buffer.Length > LongestLine)
                throw new VmHostException($"The VM's process wrote a line of more than {LongestLine >> 20} MiB.");
            searched = buffer.Length;
            pipe.AdvanceTo(buffer.Start, buffer.End);
            if (read.IsCompleted)
                break;
        }
        await pipe.CompleteAsync();
    }

    /// <summary>Waits for the end.</summary>
    public async Task<VmExit> Exit(CancellationToken cancel)
    {
        await _process.WaitForExitAsync(cancel);
        await _readErrors;
        var code = _process.ExitCode;
        if (code == 0)
            return new(0, null);
        var last = Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).FirstOrDefault();
        var why = code > 128 && Signal(code - 128) is { } signal ? $"was killed by {signal}" : $"ended with exit code {code}";
        return new(code, $"The VM's process {why}{(last is null ? "." : ": " + last)}");
    }

    /// <summary>The beginning of what the child wrote to its standard error.</summary>
    public string Errors
    {
        get
        {
            lock (_errors)
                return _errors.ToString();
        }
    }

    public void Kill()
    {
        try
        {
            _process.Kill(entireProcessTree: true);
        }
        catch (Exception e) when (e is InvalidOperationException or Win32Exception)
        {
            // it has ended by itself
        }
    }

    public async ValueTask DisposeAsync()
    {
        Kill();
        await _process.WaitForExitAsync(CancellationToken.None);
        _process.Dispose();
    }

    private static VmMessage? Parse(ReadOnlySequence<byte> line)
    {
        if (line.IsEmpty)
            return null;
        try
        {
            var reader = new Utf8JsonReader(line);
            return JsonSerializer.Deserialize<VmMessage>(ref reader, FarmJson.Options);
        }
        catch (JsonException e)
        {
            var text = Encoding.UTF8.GetString(line.Slice(0, Math.Min(line.Length, 120)));
            throw new VmHostException($"The VM's process wrote what is no message: {text}", e);
        }
    }

    private async Task ReadErrors()
    {
        while (await _process.StandardError.ReadLineAsync() is { } line)
        {
            lock (_errors)
            {
                if (_errors.Length < LongestErrors)
                    _errors.Append(line.AsSpan(0, Math.Min(line.Length, LongestErrors))).Append('\n');
            }
        }
    }

    /// <summary>A spinning vCPU must not starve the worker's beats.</summary>
    private static void LowerPriority(Process process)
    {
        try
        {
            process.PriorityClass = ProcessPriorityClass.BelowNormal;
        }
        catch (Exception e) when (e is InvalidOperationException or Win32Exception or PlatformNotSupportedException)
        {
            // ended already, or not allowed: a matter of speed only
        }
    }

    private static string? Signal(int number) => number switch
    {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => null,
    };
}

/// <summary>The VM's child process could not be run; the message says why.</summary>
public sealed class VmHostException(string message, Exception? inner = null) : Exception(message, inner);
