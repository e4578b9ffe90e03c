using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Farm.Contracts;

namespace Farm.Vm;

/// <summary>The child process: reads its job from standard input, runs it, writes messages to standard output.</summary>
public static class VmHostMain
{
    /// <summary>Exit codes of the child: 0 a report was written, 2 no usable job came in, 3 the run broke.</summary>
    public static async Task<int> Run(IVmRunner runner)
    {
        await using var input = Console.OpenStandardInput();
        await using var output = Console.OpenStandardOutput();
        // Ctrl-C in the farm's terminal reaches every process of its group: the worker alone decides about its children
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        // what is printed by accident must not be taken for a message
        Console.SetOut(Console.Error);
        return await Run(runner, input, output);
    }

    public static async Task<int> Run(IVmRunner runner, Stream input, Stream output)
    {
        using var reader = new StreamReader(input, new UTF8Encoding(false));
        var line = await reader.ReadLineAsync();
        VmJob? job = null;
        try
        {
            job = line is null ? null : JsonSerializer.Deserialize(line, VmJson.Farm.VmJob);
        }
        catch (JsonException e)
        {
            await Console.Error.WriteLineAsync($"The job on standard input is not readable: {e.Message}");
            return 2;
        }
        if (job is null)
        {
            await Console.Error.WriteLineAsync("No job came in on standard input. This verb is for the worker's own use.");
            return 2;
        }

        using var gone = new CancellationTokenSource();
        _ = WatchForEnd(reader, gone);
        var writer = new MessageWriter(output);
        try
        {
            var report = await runner.Run(job, writer, gone.Token);
            writer.Write(new() { Report = report });
            return 0;
        }
        catch (Exception e)
        {
            await Console.Error.WriteLineAsync(e.ToString());
            return 3;
        }
    }

    private static async Task WatchForEnd(StreamReader reader, CancellationTokenSource gone)
    {
        try
        {
            while (await reader.ReadLineAsync() is not null)
            {
                // nothing else is said on this line yet
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // as good as its end
        }
        try
        {
            await gone.CancelAsync();
        }
        catch (ObjectDisposedException)
        {
            // the run was over first
        }
    }

    private sealed class MessageWriter(Stream output) : IVmEvents
    {
        private readonly Lock _gate = new();

        public void Started(StackSpec stack) => Write(new() { Started = stack });
        public void Progress(VmProgress progress) => Write(new() { Progress = progress });
        public void Artifact(VmArtifact artifact) => Write(new() { Artifact = artifact });

        public void Write(VmMessage message)
        {
            var line = JsonSerializer.SerializeToUtf8Bytes(message, VmJson.Farm.VmMessage);
            lock (_gate)
            {
                output.Write(line);
                output.WriteByte((byte)'\n');
                output.Flush();
            }
        }
    }
}
