using System.CommandLine;
using System.CommandLine.Parsing;
using Farm.Firmware;
using Farm.Machine.Hypervisors;

namespace Farm.Vm;

/// <summary>What an error is to the user: an exit code and what is written to standard error.</summary>
public sealed record CommandError(int ExitCode, IReadOnlyList<string> Lines);

/// <summary>Runs a command line of Farm; bad usage and known errors end in a line each and an exit code.</summary>
public static class CommandLine
{
    /// <param name="explain">Errors of verbs that a farm is behind; null: not one of these.</param>
    public static async Task<int> Run(RootCommand root, string[] args, Func<Exception, CommandError?>? explain = null)
    {
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
            if ((explain?.Invoke(e) ?? Explain(e)) is not { } error)
                throw;
            foreach (string line in error.Lines)
                Console.Error.WriteLine($"farm: {line}");
            return error.ExitCode;
        }
    }

    private static CommandError? Explain(Exception e) => e switch
    {
        BadInputException or FirmwareException { OfUsersFile: true } => new(ExitCodes.BadInput, [e.Message]),
        FirmwareException or HostException or IOException or UnauthorizedAccessException => new(ExitCodes.HostFailed, [e.Message]),
        OperationCanceledException => new(ExitCodes.HostFailed, ["interrupted"]),
        _ => null,
    };
}
