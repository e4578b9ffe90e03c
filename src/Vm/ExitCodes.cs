namespace Farm.Vm;

/// <summary>The exit codes of every verb.</summary>
public static class ExitCodes
{
    public const int Ok = 0;

    /// <summary>The guest failed, hung or ran out of time.</summary>
    public const int GuestFailed = 1;

    /// <summary>Bad usage or bad input.</summary>
    public const int BadInput = 2;

    /// <summary>The host could not run it.</summary>
    public const int HostFailed = 3;
}
