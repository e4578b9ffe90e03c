using System.CommandLine;
using Farm.Catalogue;
using Farm.Cli;
using Farm.Cli.Commands;
using Farm.Contracts.Api;
using Farm.Silo.Postgres;
using Farm.Silo.Storage;
using Farm.Vm;

var root = new RootCommand("Farm: which operating systems install and boot on the loader, VGABIOS, rombios and VM86 assist stack.")
{
    UpCommand.Create(), BootCommand.Create(), RunCommand.Create(), DivergeCommand.Create(), CompareCommand.Create(), MediaCommand.Create(), FarmConnection.Server, FarmConnection.Json,
};
foreach (var command in ListCommands.Create().Concat(JobCommands.Create()).Concat(RoleCommands.Create()))
    root.Add(command);

return await CommandLine.Run(root, args, e => e switch
{
    CatalogueException bad => new(ExitCodes.BadInput, [.. bad.Errors]),
    FarmException { Kind: not FarmErrorKind.Unavailable } => new(ExitCodes.BadInput, [e.Message]),
    FarmException or PrivatePostgresException or DatabaseException => new(ExitCodes.HostFailed, [e.Message]),
    _ => null,
});
