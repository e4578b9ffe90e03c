namespace Farm.Assist.Instructions.Simd;

/// <summary>MMX, SSE and SSE2.</summary>
internal static class SimdFamily
{
    public static void Register()
    {
        PackedIntegers.Register();
        PackedShifts.Register();
        SimdMoves.Register();
        SimdShuffles.Register();
        SimdControl.Register();
        FloatArithmetic.Register();
        FloatCompare.Register();
        FloatConvert.Register();
        FloatLogic.Register();
    }
}
