using Farm.Assist.Cpu;
using Farm.Assist.Instructions.Fpu;

namespace Farm.Assist.Instructions.Simd;

/// <summary>MXCSR as the controls of an operation, and what becomes of the exceptions (SDM vol. 1, 11.5).</summary>
internal static unsafe class SimdEnvironment
{
    private const uint BeforeComputation = FloatException.Invalid | FloatException.Denormal | FloatException.ZeroDivide;
    private const uint Daz = 0x40, FlushToZero = 0x8000;
    private const int MaskShift = 7, RoundingShift = 13;

    /// <summary>Rounding to nearest, the precision exception masked and on record already: the host's arithmetic tells no less.</summary>
    private const uint FastMask = 0x6000 | 0x1000 | FloatException.Precision, FastValue = 0x1000 | FloatException.Precision;

    public static FloatEnvironment Of(CpuState* state)
    {
        uint mxcsr = state->Mxcsr;
        return new FloatEnvironment
        {
            Rounding = (Rounding)((mxcsr >> RoundingShift) & 3),
            Masked = (mxcsr >> MaskShift) & FloatException.All,
            DenormalsAreZeros = (mxcsr & Daz) != 0,
            FlushToZero = (mxcsr & FlushToZero) != 0,
        };
    }

    public static bool IsFast(CpuState* state) => (state->Mxcsr & FastMask) == FastValue;

    /// <summary>
    /// Records the exceptions of all lanes; #XM (#UD without CR4.OSXMMEXCPT) for an unmasked one, those known before the
    /// computation first. To be called before the result is written.
    /// </summary>
    public static void Complete(X86Cpu cpu, in FloatEnvironment env)
    {
        uint raised = env.Raised;
        if (raised == 0)
            return;
        if ((raised & BeforeComputation & ~env.Masked) != 0)
            raised &= BeforeComputation;
        cpu.State->Mxcsr |= raised;
        if ((raised & ~env.Masked) != 0)
            throw cpu.Fault((cpu.State->Cr4 & ControlRegisters.Cr4OSXMMEXCPT) != 0 ? Vectors.XM : Vectors.UD);
    }
}
