using System.Runtime.Intrinsics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Simd;

/// <summary>Moves between MMX, XMM, general registers and memory.</summary>
internal static unsafe class SimdMoves
{
    public static void Register()
    {
        InstructionTable.Register(Code.Movd_mm_rm32, &MmFromGpr32, &MmFromMem32);
        InstructionTable.Register(Code.Movq_mm_rm64, &MmFromGpr64, &MmFromMem64);
        InstructionTable.Register(Code.Movd_rm32_mm, &GprFromMm32, &MemFromMm32);
        InstructionTable.Register(Code.Movq_rm64_mm, &GprFromMm64, &MemFromMm64);
        InstructionTable.Register(Code.Movq_mm_mmm64, &MmFromMm, &MmFromMem64);
        InstructionTable.Register(Code.Movq_mmm64_mm, &MmFromMm, &MemFromMm64);
        InstructionTable.Register(Code.Movntq_m64_mm, &MemFromMm64);

        Code[] alignedLoads = [Code.Movaps_xmm_xmmm128, Code.Movapd_xmm_xmmm128, Code.Movdqa_xmm_xmmm128];
        Code[] alignedStores = [Code.Movaps_xmmm128_xmm, Code.Movapd_xmmm128_xmm, Code.Movdqa_xmmm128_xmm,
            Code.Movntps_m128_xmm, Code.Movntpd_m128_xmm, Code.Movntdq_m128_xmm];
        Code[] loads = [Code.Movups_xmm_xmmm128, Code.Movupd_xmm_xmmm128, Code.Movdqu_xmm_xmmm128, Code.Lddqu_xmm_m128];
        Code[] stores = [Code.Movups_xmmm128_xmm, Code.Movupd_xmmm128_xmm, Code.Movdqu_xmmm128_xmm];
        foreach (Code code in alignedLoads)
            InstructionTable.Register(code, &Copy, &LoadAligned);
        foreach (Code code in alignedStores)
            InstructionTable.Register(code, &Copy, &StoreAligned);
        foreach (Code code in loads)
            InstructionTable.Register(code, &Copy, &Load);
        foreach (Code code in stores)
            InstructionTable.Register(code, &Copy, &Store);

        InstructionTable.Register(Code.Movss_xmm_xmmm32, &Copy32, &LoadScalar32);
        InstructionTable.Register(Code.Movss_xmmm32_xmm, &Copy32, &Store32);
        InstructionTable.Register(Code.Movsd_xmm_xmmm64, &Copy64, &LoadScalar64);
        InstructionTable.Register(Code.Movsd_xmmm64_xmm, &Copy64, &StoreLow);
        InstructionTable.Register(Code.Movq_xmm_xmmm64, &CopyScalar64, &LoadScalar64);
        InstructionTable.Register(Code.Movq_xmmm64_xmm, &CopyScalar64, &StoreLow);
        InstructionTable.Register(Code.Movlps_xmm_m64, &LoadLow);
        InstructionTable.Register(Code.Movlpd_xmm_m64, &LoadLow);
        InstructionTable.Register(Code.Movlps_m64_xmm, &StoreLow);
        InstructionTable.Register(Code.Movlpd_m64_xmm, &StoreLow);
        InstructionTable.Register(Code.Movhps_xmm_m64, &LoadHigh);
        InstructionTable.Register(Code.Movhpd_xmm_m64, &LoadHigh);
        InstructionTable.Register(Code.Movhps_m64_xmm, &StoreHigh);
        InstructionTable.Register(Code.Movhpd_m64_xmm, &StoreHigh);
        InstructionTable.Register(Code.Movhlps_xmm_xmm, &HighToLow);
        InstructionTable.Register(Code.Movlhps_xmm_xmm, &LowToHigh);
        InstructionTable.Register(Code.Movd_xmm_rm32, &XmmFromGpr32, &LoadScalar32);
        InstructionTable.Register(Code.Movq_xmm_rm64, &XmmFromGpr64, &LoadScalar64);
        InstructionTable.Register(Code.Movd_rm32_xmm, &GprFromXmm32, &Store32);
        InstructionTable.Register(Code.Movq_rm64_xmm, &GprFromXmm64, &StoreLow);
        InstructionTable.Register(Code.Movq2dq_xmm_mm, &XmmFromMm);
        InstructionTable.Register(Code.Movdq2q_mm_xmm, &MmFromXmm);
        InstructionTable.Register(Code.Maskmovq_rDI_mm_mm, &MaskedStoreMm);
        InstructionTable.Register(Code.Maskmovdqu_rDI_xmm_xmm, &MaskedStoreXmm);
    }

    private static ulong* Xmm(X86Cpu cpu, int index) => cpu.State->Xmm + (index * 2);

    private static void SetMm(X86Cpu cpu, Op* op, ulong value)
    {
        SimdUnit.EnterMmx(cpu.State);
        SimdUnit.SetMm(cpu.State, op->Reg0, value);
    }

    private static void MmFromGpr32(X86Cpu cpu, Op* op)
    {
        if (SimdUnit.BeginMmx(cpu))
            SetMm(cpu, op, cpu.Reg<uint>(op->Reg1));
    }

    private static void MmFromGpr64(X86Cpu cpu, Op* op)
    {
        if (SimdUnit.BeginMmx(cpu))
            SetMm(cpu, op, cpu.Reg<ulong>(op->Reg1));
    }

    private static void MmFromMem32(X86Cpu cpu, Op* op)
    {
        if (SimdUnit.BeginMmx(cpu))
            SetMm(cpu, op, cpu.Read<uint>(op->Segment, cpu.Ea(op)));
    }

    private static void MmFromMem64(X86Cpu cpu, Op* op)
    {
        if (SimdUnit.BeginMmx(cpu))
            SetMm(cpu, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void MmFromMm(X86Cpu cpu, Op* op)
    {
        if (SimdUnit.BeginMmx(cpu))
            SetMm(cpu, op, SimdUnit.Mm(cpu.State, op->Reg1));
    }

    private static void GprFromMm32(X86Cpu cpu, Op* op)
    {
        if (!SimdUnit.BeginMmx(cpu))
            return;
        SimdUnit.EnterMmx(cpu.State);
        cpu.SetReg(op->Reg0, (uint)SimdUnit.Mm(cpu.State, op->Reg1));
    }

    private static void GprFromMm64(X86Cpu cpu, Op* op)
    {
        if (!SimdUnit.BeginMmx(cpu))
            return;
        SimdUnit.EnterMmx(cpu.State);
        cpu.SetReg(op->Reg0, SimdUnit.Mm(cpu.State, op->Reg1));
    }

    private static void MemFromMm32(X86Cpu cpu, Op* op)
    {
        if (!SimdUnit.BeginMmx(cpu))
            return;
        cpu.Write(op->Segment, cpu.Ea(op), (uint)SimdUnit.Mm(cpu.State, op->Reg1));
        SimdUnit.EnterMmx(cpu.State);
    }

    private static void MemFromMm64(X86Cpu cpu, Op* op)
    {
        if (!SimdUnit.BeginMmx(cpu))
            return;
        cpu.Write(op->Segment, cpu.Ea(op), SimdUnit.Mm(cpu.State, op->Reg1));
        SimdUnit.EnterMmx(cpu.State);
    }

    private static void Copy(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        *SimdUnit.Xmm(cpu.State, op->Reg0) = *SimdUnit.Xmm(cpu.State, op->Reg1);
    }

    private static void LoadAligned(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        *SimdUnit.Xmm(cpu.State, op->Reg0) = SimdUnit.ReadAligned(cpu, op);
    }

    private static void StoreAligned(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        cpu.Write(op->Segment, SimdUnit.AlignedEa(cpu, op), *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void Load(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        *SimdUnit.Xmm(cpu.State, op->Reg0) = cpu.Read<Vector128<byte>>(op->Segment, cpu.Ea(op));
    }

    private static void Store(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        cpu.Write(op->Segment, cpu.Ea(op), *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void Copy32(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        *(uint*)Xmm(cpu, op->Reg0) = (uint)*Xmm(cpu, op->Reg1);
    }

    private static void Copy64(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        *Xmm(cpu, op->Reg0) = *Xmm(cpu, op->Reg1);
    }

    private static void CopyScalar64(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        SetScalar(cpu, op, *Xmm(cpu, op->Reg1));
    }

    private static void LoadScalar32(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        SetScalar(cpu, op, cpu.Read<uint>(op->Segment, cpu.Ea(op)));
    }

    private static void LoadScalar64(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        SetScalar(cpu, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void SetScalar(X86Cpu cpu, Op* op, ulong value)
    {
        ulong* target = Xmm(cpu, op->Reg0);
        target[0] = value;
        target[1] = 0;
    }

    private static void Store32(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        cpu.Write(op->Segment, cpu.Ea(op), (uint)*Xmm(cpu, op->Reg1));
    }

    private static void StoreLow(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        cpu.Write(op->Segment, cpu.Ea(op), *Xmm(cpu, op->Reg1));
    }

    private static void StoreHigh(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        cpu.Write(op->Segment, cpu.Ea(op), Xmm(cpu, op->Reg1)[1]);
    }

    private static void LoadLow(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        *Xmm(cpu, op->Reg0) = cpu.Read<ulong>(op->Segment, cpu.Ea(op));
    }

    private static void LoadHigh(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        Xmm(cpu, op->Reg0)[1] = cpu.Read<ulong>(op->Segment, cpu.Ea(op));
    }

    private static void HighToLow(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        *Xmm(cpu, op->Reg0) = Xmm(cpu, op->Reg1)[1];
    }

    private static void LowToHigh(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        Xmm(cpu, op->Reg0)[1] = *Xmm(cpu, op->Reg1);
    }

    private static void XmmFromGpr32(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        SetScalar(cpu, op, cpu.Reg<uint>(op->Reg1));
    }

    private static void XmmFromGpr64(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        SetScalar(cpu, op, cpu.Reg<ulong>(op->Reg1));
    }

    private static void GprFromXmm32(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        cpu.SetReg(op->Reg0, (uint)*Xmm(cpu, op->Reg1));
    }

    private static void GprFromXmm64(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        cpu.SetReg(op->Reg0, *Xmm(cpu, op->Reg1));
    }

    private static void XmmFromMm(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        if (!SimdUnit.BeginMmx(cpu))
            return;
        SimdUnit.EnterMmx(cpu.State);
        SetScalar(cpu, op, SimdUnit.Mm(cpu.State, op->Reg1));
    }

    private static void MmFromXmm(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        if (SimdUnit.BeginMmx(cpu))
            SetMm(cpu, op, *Xmm(cpu, op->Reg1));
    }

    private static void MaskedStoreMm(X86Cpu cpu, Op* op)
    {
        if (!SimdUnit.BeginMmx(cpu))
            return;
        ulong value = SimdUnit.Mm(cpu.State, op->Reg1), mask = SimdUnit.Mm(cpu.State, op->Reg2);
        MaskedStore(cpu, op, (byte*)&value, (byte*)&mask, 8);
        SimdUnit.EnterMmx(cpu.State);
    }

    private static void MaskedStoreXmm(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        MaskedStore(cpu, op, (byte*)Xmm(cpu, op->Reg1), (byte*)Xmm(cpu, op->Reg2), 16);
    }

    private static void MaskedStore(X86Cpu cpu, Op* op, byte* value, byte* mask, int bytes)
    {
        ulong addresses = op->AddressSize switch { 2 => 0xFFFF, 4 => 0xFFFFFFFF, _ => ulong.MaxValue };
        ulong start = cpu.State->Gpr[7];
        for (int i = 0; i < bytes; i++)
        {
            if ((mask[i] & 0x80) != 0)
                cpu.ProbeWrite(op->Segment, (start + (ulong)i) & addresses, 1);
        }
        for (int i = 0; i < bytes; i++)
        {
            if ((mask[i] & 0x80) != 0)
                cpu.Write(op->Segment, (start + (ulong)i) & addresses, value[i]);
        }
    }
}
