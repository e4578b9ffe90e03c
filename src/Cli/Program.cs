using System.CommandLine;
using Farm.Cli;
using Farm.Cli.Commands;
using Farm.Firmware;
using Farm.Machine.Hypervisors;

var root = new RootCommand("Farm: which operating systems install and boot on the loader, VGABIOS, rombios and VM86 assist stack.")
{
    BootCommand.Create(),
};
var parsed = root.Parse(args is ["help"] or [] ? ["--help"] : args);
if (parsed.Errors.Count > 0)
{
    foreach (var error in parsed.Errors)
        Console.Error.WriteLine($"farm: {error.Message}");
    Console.Error.WriteLine($"farm: run `farm {parsed.CommandResult.Command.Name} --help` for the options".Replace("farm farm", "farm", StringComparison.Ordinal));
    return ExitCodes.BadInput;
}
try
{
    return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (BadInputException e)
{
    Console.Error.WriteLine($"farm: {e.Message}");
    return ExitCodes.BadInput;
}
catch (FirmwareException e)
{
    Console.Error.WriteLine($"farm: {e.Message}");
    return ExitCodes.HostFailed;
}
catch (HostException e)
{
    Console.Error.WriteLine($"farm: {e.Message}");
    return ExitCodes.HostFailed;
}
