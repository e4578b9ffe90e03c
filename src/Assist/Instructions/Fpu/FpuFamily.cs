namespace Farm.Assist.Instructions.Fpu;

/// <summary>The x87 instructions.</summary>
internal static class FpuFamily
{
    public static void Register()
    {
        FpuArithmetic.Register();
        FpuCompare.Register();
        FpuLoadStore.Register();
        FpuRegisters.Register();
        FpuFunctions.Register();
        FpuTranscendentals.Register();
        FpuControl.Register();
    }
}
