using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>Control and status words, environment, save and restore, FXSAVE, WAIT (SDM vol. 1, 8.1.10; vol. 2).</summary>
internal static unsafe class FpuControl
{
    public static void Register()
    {
        InstructionTable.Register(Code.Wait, &Wait);
        InstructionTable.Register(Code.Fninit, &Initialize);
        InstructionTable.Register(Code.Fnclex, &ClearExceptions);
        InstructionTable.Register(Code.Fneni, &Nothing);
        InstructionTable.Register(Code.Fndisi, &Nothing);
        InstructionTable.Register(Code.Fnsetpm, &Nothing);
        InstructionTable.Register(Code.Fldcw_m2byte, &LoadControl);
        InstructionTable.Register(Code.Fnstcw_m2byte, &StoreControl);
        InstructionTable.Register(Code.Fnstsw_m2byte, &StoreStatus);
        InstructionTable.Register(Code.Fnstsw_AX, &StoreStatusAx);
        InstructionTable.Register(Code.Fnstenv_m14byte, &StoreEnvironment);
        InstructionTable.Register(Code.Fnstenv_m28byte, &StoreEnvironment);
        InstructionTable.Register(Code.Fldenv_m14byte, &LoadEnvironment);
        InstructionTable.Register(Code.Fldenv_m28byte, &LoadEnvironment);
        InstructionTable.Register(Code.Fnsave_m94byte, &Save);
        InstructionTable.Register(Code.Fnsave_m108byte, &Save);
        InstructionTable.Register(Code.Frstor_m94byte, &Restore);
        InstructionTable.Register(Code.Frstor_m108byte, &Restore);
        InstructionTable.Register(Code.Fxsave_m512byte, &FpuExtendedState.Save);
        InstructionTable.Register(Code.Fxsave64_m512byte, &FpuExtendedState.Save);
        InstructionTable.Register(Code.Fxrstor_m512byte, &FpuExtendedState.Restore);
        InstructionTable.Register(Code.Fxrstor64_m512byte, &FpuExtendedState.Restore);
    }

    private static void Wait(X86Cpu cpu, Op* op)
    {
        const uint Both = ControlRegisters.Cr0MP | ControlRegisters.Cr0TS;
        if ((cpu.State->Cr0 & Both) == Both)
            throw cpu.Fault(Vectors.NM);
        if ((cpu.State->FpuStatus & FpuUnit.Summary) != 0)
            cpu.TakeMathFault();
    }

    private static void Nothing(X86Cpu cpu, Op* op) => FpuUnit.RequireAvailable(cpu);

    private static void Initialize(X86Cpu cpu, Op* op)
    {
        FpuUnit.RequireAvailable(cpu);
        FpuUnit.Initialize(cpu);
    }

    private static void ClearExceptions(X86Cpu cpu, Op* op)
    {
        FpuUnit.RequireAvailable(cpu);
        cpu.State->FpuStatus &= 0x7F00;
        cpu.UpdateFerr();
    }

    private static void LoadControl(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Ready(cpu))
            return;
        SetControl(cpu.State, cpu.Read<ushort>(op->Segment, cpu.Ea(op)));
        FpuUnit.UpdateSummary(cpu);
    }

    // Bit 6 always reads as 1; bit 12 (infinity control) may be set and means nothing since the 387.
    private static void SetControl(CpuState* state, ushort value) => state->FpuControl = (ushort)((value & 0x1F3F) | 0x40);

    private static void StoreControl(X86Cpu cpu, Op* op)
    {
        FpuUnit.RequireAvailable(cpu);
        cpu.Write(op->Segment, cpu.Ea(op), cpu.State->FpuControl);
    }

    private static void StoreStatus(X86Cpu cpu, Op* op)
    {
        FpuUnit.RequireAvailable(cpu);
        cpu.Write(op->Segment, cpu.Ea(op), cpu.State->FpuStatus);
    }

    private static void StoreStatusAx(X86Cpu cpu, Op* op)
    {
        FpuUnit.RequireAvailable(cpu);
        cpu.SetReg(0, cpu.State->FpuStatus);
    }

    private static void StoreEnvironment(X86Cpu cpu, Op* op)
    {
        FpuUnit.RequireAvailable(cpu);
        byte* image = stackalloc byte[28];
        int size = BuildEnvironment(cpu, op, image);
        WriteImage(cpu, op, image, size);
        cpu.State->FpuControl |= (ushort)FloatException.All;
        FpuUnit.UpdateSummary(cpu);
    }

    private static void LoadEnvironment(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Ready(cpu))
            return;
        byte* image = stackalloc byte[28];
        ReadImage(cpu, op, image, IsWide(op) ? 28 : 14);
        TakeEnvironment(cpu, op, image);
    }

    private static void Save(X86Cpu cpu, Op* op)
    {
        FpuUnit.RequireAvailable(cpu);
        byte* image = stackalloc byte[108];
        int size = BuildEnvironment(cpu, op, image);
        for (int i = 0; i < 8; i++, size += 10)
        {
            Float80 value = FpuUnit.Read(cpu.State, i);
            *(ulong*)(image + size) = value.Mantissa;
            *(ushort*)(image + size + 8) = value.SignExponent;
        }
        WriteImage(cpu, op, image, size);
        FpuUnit.Initialize(cpu);
    }

    private static void Restore(X86Cpu cpu, Op* op)
    {
        if (!FpuUnit.Ready(cpu))
            return;
        byte* image = stackalloc byte[108];
        int size = IsWide(op) ? 28 : 14;
        ReadImage(cpu, op, image, size + 80);
        TakeEnvironment(cpu, op, image);
        for (int i = 0; i < 8; i++, size += 10)
        {
            var value = new Float80(*(ushort*)(image + size + 8), *(ulong*)(image + size));
            FpuUnit.WritePhysical(cpu.State, FpuUnit.Physical(cpu.State, i), value);
        }
    }

    private static bool IsWide(Op* op) =>
        (Code)op->Code is Code.Fnstenv_m28byte or Code.Fldenv_m28byte or Code.Fnsave_m108byte or Code.Frstor_m108byte;

    /// <summary>The four layouts of SDM vol. 1, figures 8-9 to 8-12. Returns the size.</summary>
    private static int BuildEnvironment(X86Cpu cpu, Op* op, byte* image)
    {
        CpuState* state = cpu.State;
        ushort tags = FpuUnit.FullTags(state);
        uint ip = (uint)state->FpuIp, dp = (uint)state->FpuDp;
        bool real = cpu.SelectorsAreParagraphs;
        if (real)
        {
            ip += (uint)state->FpuCs << 4;
            dp += (uint)state->FpuDs << 4;
        }
        if (!IsWide(op))
        {
            var narrow = (ushort*)image;
            narrow[0] = state->FpuControl;
            narrow[1] = state->FpuStatus;
            narrow[2] = tags;
            narrow[3] = (ushort)ip;
            narrow[4] = real ? (ushort)((ip >> 4 & 0xF000) | state->FpuOpcode) : state->FpuCs;
            narrow[5] = (ushort)dp;
            narrow[6] = real ? (ushort)(dp >> 4 & 0xF000) : state->FpuDs;
            return 14;
        }
        var wide = (uint*)image;
        wide[0] = 0xFFFF0000 | state->FpuControl;
        wide[1] = 0xFFFF0000 | state->FpuStatus;
        wide[2] = 0xFFFF0000 | tags;
        wide[3] = real ? 0xFFFF0000 | ip : ip;
        wide[4] = real ? (ip >> 4 & 0x0FFFF000) | state->FpuOpcode : ((uint)state->FpuOpcode << 16) | state->FpuCs;
        wide[5] = real ? 0xFFFF0000 | dp : dp;
        wide[6] = real ? dp >> 4 & 0x0FFFF000 : 0xFFFF0000 | state->FpuDs;
        return 28;
    }

    private static void TakeEnvironment(X86Cpu cpu, Op* op, byte* image)
    {
        CpuState* state = cpu.State;
        bool wide = IsWide(op), real = cpu.SelectorsAreParagraphs;
        int step = wide ? 4 : 2;
        SetControl(state, *(ushort*)image);
        state->FpuStatus = *(ushort*)(image + step);
        state->FpuTag = FpuUnit.FoldTags(*(ushort*)(image + (2 * step)));
        uint ip = wide && !real ? *(uint*)(image + 12) : *(ushort*)(image + (3 * step));
        uint dp = wide && !real ? *(uint*)(image + 20) : *(ushort*)(image + (5 * step));
        uint third = wide ? *(uint*)(image + 16) : *(ushort*)(image + 8);
        uint fourth = wide ? *(uint*)(image + 24) : *(ushort*)(image + 12);
        if (real)
        {
            // What is kept is a linear address: selectors of 0 give it back as it came.
            state->FpuIp = ip | ((third & (wide ? 0x0FFFF000u : 0xF000)) << 4);
            state->FpuDp = dp | ((fourth & (wide ? 0x0FFFF000u : 0xF000)) << 4);
            state->FpuOpcode = (ushort)(third & 0x7FF);
            state->FpuCs = state->FpuDs = 0;
        }
        else
        {
            state->FpuIp = ip;
            state->FpuDp = dp;
            state->FpuCs = (ushort)third;
            state->FpuDs = (ushort)fourth;
            if (wide)
                state->FpuOpcode = (ushort)((third >> 16) & 0x7FF);
        }
        FpuUnit.UpdateSummary(cpu);
    }

    /// <summary>Reads an operand of many bytes; every byte is checked before the first is used.</summary>
    public static void ReadImage(X86Cpu cpu, Op* op, byte* image, int size)
    {
        ulong ea = cpu.Ea(op);
        int i = 0;
        for (; i + 8 <= size; i += 8)
            *(ulong*)(image + i) = cpu.Read<ulong>(op->Segment, (ea + (ulong)i) & op->AddressMask);
        for (; i < size; i += 2)
            *(ushort*)(image + i) = cpu.Read<ushort>(op->Segment, (ea + (ulong)i) & op->AddressMask);
    }

    /// <summary>Writes an operand of many bytes, or nothing if any byte of it faults.</summary>
    public static void WriteImage(X86Cpu cpu, Op* op, byte* image, int size)
    {
        ulong ea = cpu.Ea(op);
        ulong tail = (ea + (ulong)size - 2) & op->AddressMask;
        cpu.ProbeWrite(op->Segment, ea, 2);
        cpu.ProbeWrite(op->Segment, tail, 2);
        int i = 0;
        for (; i + 8 <= size; i += 8)
            cpu.Write(op->Segment, (ea + (ulong)i) & op->AddressMask, *(ulong*)(image + i));
        for (; i < size; i += 2)
            cpu.Write(op->Segment, (ea + (ulong)i) & op->AddressMask, *(ushort*)(image + i));
    }
}
