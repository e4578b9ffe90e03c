using System.CommandLine;

namespace Farm.Vm;

/// <summary><c>farm vm-run</c>: a VM's process under a worker.</summary>
public static class VmRunCommand
{
    public const string Verb = "vm-run";

    public static Command Create()
    {
        var command = new Command(Verb, "Runs one VM for a worker (internal).") { Hidden = true };
        command.SetAction((_, _) => VmHostMain.Run(new MachineRunner()));
        return command;
    }
}
