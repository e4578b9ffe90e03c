using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>FXSAVE and FXRSTOR: x87, MMX, XMM and MXCSR in 512 bytes (SDM vol. 2, table 3-43).</summary>
internal static unsafe class FpuExtendedState
{
    /// <summary>Bits of MXCSR that may be set: no DAZ before SSE2.</summary>
    public static uint MxcsrMask(X86Cpu cpu) => cpu.Model.Has(CpuFeatures.Sse2) ? 0xFFFFu : 0xFFBF;

    private const int Used = 416;
    private const int Registers = 32, Xmm = 160;

    public static void Save(X86Cpu cpu, Op* op)
    {
        Require(cpu, op);
        CpuState* state = cpu.State;
        byte* image = stackalloc byte[Used];
        Unsafe.InitBlock(image, 0, Used);
        *(ushort*)image = state->FpuControl;
        *(ushort*)(image + 2) = state->FpuStatus;
        image[4] = AbridgedTags(state->FpuTag);
        *(ushort*)(image + 6) = state->FpuOpcode;
        *(ulong*)(image + 8) = op->OperandSize == 8 ? state->FpuIp : (uint)state->FpuIp | ((ulong)state->FpuCs << 32);
        *(ulong*)(image + 16) = op->OperandSize == 8 ? state->FpuDp : (uint)state->FpuDp | ((ulong)state->FpuDs << 32);
        *(uint*)(image + 24) = state->Mxcsr;
        *(uint*)(image + 28) = MxcsrMask(cpu);
        for (int i = 0; i < 8; i++)
        {
            Float80 value = FpuUnit.Read(state, i);
            *(ulong*)(image + Registers + (i * 16)) = value.Mantissa;
            *(ushort*)(image + Registers + (i * 16) + 8) = value.SignExponent;
        }
        int size = Xmm + (XmmCount(cpu) * 16);
        Unsafe.CopyBlockUnaligned(image + Xmm, state->Xmm, (uint)(size - Xmm));
        FpuControl.WriteImage(cpu, op, image, size);
    }

    public static void Restore(X86Cpu cpu, Op* op)
    {
        Require(cpu, op);
        CpuState* state = cpu.State;
        byte* image = stackalloc byte[Used];
        int size = Xmm + (XmmCount(cpu) * 16);
        FpuControl.ReadImage(cpu, op, image, size);
        uint mxcsr = *(uint*)(image + 24);
        if ((mxcsr & ~MxcsrMask(cpu)) != 0)
            throw cpu.Fault(Vectors.GP, 0);
        state->FpuControl = (ushort)((*(ushort*)image & 0x1F3F) | 0x40);
        state->FpuStatus = *(ushort*)(image + 2);
        state->FpuTag = FullTags(image[4]);
        state->FpuOpcode = (ushort)(*(ushort*)(image + 6) & 0x7FF);
        ulong ip = *(ulong*)(image + 8), dp = *(ulong*)(image + 16);
        bool wide = op->OperandSize == 8;
        state->FpuIp = wide ? ip : (uint)ip;
        state->FpuDp = wide ? dp : (uint)dp;
        state->FpuCs = wide ? (ushort)0 : (ushort)(ip >> 32);
        state->FpuDs = wide ? (ushort)0 : (ushort)(dp >> 32);
        for (int i = 0; i < 8; i++)
        {
            byte* slot = image + Registers + (i * 16);
            FpuUnit.WritePhysical(state, FpuUnit.Physical(state, i), new Float80(*(ushort*)(slot + 8), *(ulong*)slot));
        }
        state->Mxcsr = mxcsr;
        Unsafe.CopyBlockUnaligned(state->Xmm, image + Xmm, (uint)(size - Xmm));
        FpuUnit.UpdateSummary(cpu);
    }

    private static int XmmCount(X86Cpu cpu) => !cpu.Model.Has(CpuFeatures.Sse) ? 0 : cpu.Mode64 ? 16 : 8;

    private static void Require(X86Cpu cpu, Op* op)
    {
        FpuUnit.RequireAvailable(cpu);
        ulong ea = cpu.Ea(op);
        bool based = !cpu.Mode64 || op->Segment >= Seg.Fs;
        if (((ea + (based ? cpu.Segment(op->Segment).Base : 0)) & 15) != 0)
            throw cpu.Fault(Vectors.GP, 0);
    }

    /// <summary>One bit per physical register: not empty.</summary>
    private static byte AbridgedTags(ushort tags)
    {
        int bits = 0;
        for (int i = 0; i < 8; i++)
        {
            if (((tags >> (i * 2)) & 3) != 3)
                bits |= 1 << i;
        }
        return (byte)bits;
    }

    private static ushort FullTags(byte abridged)
    {
        int tags = 0;
        for (int i = 0; i < 8; i++)
        {
            if (((abridged >> i) & 1) == 0)
                tags |= 3 << (i * 2);
        }
        return (ushort)tags;
    }
}
