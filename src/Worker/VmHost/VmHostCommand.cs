using Farm.Vm;

namespace Farm.Worker.VmHost;

/// <summary>How a VM's child process is started.</summary>
/// <param name="FileName">The program.</param>
/// <param name="Arguments">Its arguments.</param>
public sealed record VmHostCommand(string FileName, IReadOnlyList<string> Arguments)
{
    /// <summary>
    /// The program compiled ahead that lies beside this one, else this very program; both with the verb <see cref="VmRunCommand.Verb"/>. The former's
    /// VMs start at once, without a compiler at work beside them.
    /// </summary>
    public static VmHostCommand Self()
    {
        string native = Path.Combine(AppContext.BaseDirectory, "native", "farm");
        if (File.Exists(native))
            return new(native, [VmRunCommand.Verb]);
        var program = Environment.ProcessPath ?? throw new InvalidOperationException("This process has no program file to start a VM with.");
        // started as `dotnet farm.dll`: the child is too
        return Path.GetFileNameWithoutExtension(program) == "dotnet"
            ? new(program, [Environment.GetCommandLineArgs()[0], VmRunCommand.Verb])
            : new(program, [VmRunCommand.Verb]);
    }
}
