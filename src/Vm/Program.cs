using System.CommandLine;
using Farm.Vm;

return await CommandLine.Run(new RootCommand("Farm: one VM.") { BootCommand.Create(), VmRunCommand.Create() }, args);
