namespace Farm.Firmware;

/// <summary>
/// A firmware payload is missing or not what it must be. The message names the file, what was expected and found, and what to
/// do (the Debian package to install, the option to use).
/// </summary>
public sealed class FirmwareException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The file was named by the user (<c>--bios</c>, <c>--vgabios</c>): bad input, not a host that lacks a package.</summary>
    public bool OfUsersFile { get; init; }
}
