namespace Farm.Assist.Instructions;

/// <summary>The integer families, 8086 to P6, and their 64-bit forms.</summary>
internal static class Integer
{
    public static void Register()
    {
        Alu.Register();
        Unary.Register();
        Conditions.Register();
        Shifts.Register();
        DoubleShifts.Register();
        MulDiv.Register();
        Bcd.Register();
        Moves.Register();
        Stack.Register();
        Branches.Register();
        BitOps.Register();
        Atomics.Register();
        FlagOps.Register();
        Strings.Register();
        PortIo.Register();
        Nops.Register();
    }
}
