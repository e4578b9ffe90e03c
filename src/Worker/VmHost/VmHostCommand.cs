namespace Farm.Worker.VmHost;

/// <summary>How a VM's child process is started.</summary>
/// <param name="FileName">The program.</param>
/// <param name="Arguments">Its arguments.</param>
public sealed record VmHostCommand(string FileName, IReadOnlyList<string> Arguments)
{
    /// <summary>The verb of the farm command that runs a VM.</summary>
    public const string Verb = "vm-run";

    /// <summary>This very program with the verb <see cref="Verb"/>.</summary>
    public static VmHostCommand Self()
    {
        var program = Environment.ProcessPath ?? throw new InvalidOperationException("This process has no program file to start a VM with.");
        // started as `dotnet farm.dll`: the child is too
        return Path.GetFileNameWithoutExtension(program) == "dotnet"
            ? new(program, [Environment.GetCommandLineArgs()[0], Verb])
            : new(program, [Verb]);
    }
}
