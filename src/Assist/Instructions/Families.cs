namespace Farm.Assist.Instructions;

/// <summary>The instruction families: each registers its handlers with <see cref="Cpu.InstructionTable"/>.</summary>
internal static class Families
{
    /// <summary>Called once, by the table.</summary>
    public static void Register()
    {
        SystemLevel.SystemLevelFamily.Register();
        Integer.Register();
        Fpu.FpuFamily.Register();
        Simd.SimdFamily.Register();
    }
}
