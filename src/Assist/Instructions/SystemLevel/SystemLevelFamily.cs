namespace Farm.Assist.Instructions.SystemLevel;

/// <summary>Everything that knows of modes, segments, tables and privilege.</summary>
internal static class SystemLevelFamily
{
    public static void Register()
    {
        SegmentMoves.Register();
        FarTransfers.Register();
        InterruptFlag.Register();
        ControlMoves.Register();
        TableRegisters.Register();
        SelectorChecks.Register();
        Identification.Register();
    }
}
