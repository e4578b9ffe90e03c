using System.CommandLine;
using System.CommandLine.Parsing;
using Farm.Catalogue;
using Farm.Cli;
using Farm.Cli.Commands;
using Farm.Contracts.Api;
using Farm.Firmware;
using Farm.Machine.Hypervisors;
using Farm.Silo.Postgres;
using Farm.Silo.Storage;

var root = new RootCommand("Farm: which operating systems install and boot on the loader, VGABIOS, rombios and VM86 assist stack.")
{
    UpCommand.Create(), BootCommand.Create(), RunCommand.Create(), DivergeCommand.Create(), MediaCommand.Create(), FarmConnection.Server, FarmConnection.Json,
};
foreach (var command in ListCommands.Create().Concat(JobCommands.Create()).Concat(RoleCommands.Create()))
    root.Add(command);

var parsed = root.Parse(args is ["help"] or [] ? ["--help"] : args);
if (parsed.Errors.Count > 0)
{
    foreach (var error in parsed.Errors)
    {
        string option = error.SymbolResult is OptionResult { Option.Name: var name } && !error.Message.Contains(name, StringComparison.Ordinal) ? name + ": " : "";
        Console.Error.WriteLine($"farm: {option}{error.Message}");
    }
    string verb = parsed.CommandResult.Command == root ? "" : parsed.CommandResult.Command.Name + " ";
    Console.Error.WriteLine($"farm: `farm {verb}--help` shows what can be given");
    return ExitCodes.BadInput;
}
try
{
    // no deadline on stopping: a farm that is cut off would leave its PostgreSQL behind
    return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
}
catch (Exception e)
{
    (int code, IEnumerable<string> lines) = e switch
    {
        BadInputException or FirmwareException { OfUsersFile: true } => (ExitCodes.BadInput, [e.Message]),
        CatalogueException bad => (ExitCodes.BadInput, bad.Errors),
        FarmException { Kind: FarmErrorKind.Unavailable } => (ExitCodes.HostFailed, [e.Message]),
        FarmException => (ExitCodes.BadInput, [e.Message]),
        FirmwareException or HostException or PrivatePostgresException or DatabaseException => (ExitCodes.HostFailed, [e.Message]),
        IOException or UnauthorizedAccessException => (ExitCodes.HostFailed, [e.Message]),
        OperationCanceledException => (ExitCodes.HostFailed, ["interrupted"]),
        _ => (-1, Array.Empty<string>()),
    };
    if (code < 0)
        throw;
    foreach (string line in lines)
        Console.Error.WriteLine($"farm: {line}");
    return code;
}
