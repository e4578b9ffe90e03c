using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Whp.Native;
using static Farm.Backends.Tests.WhpStandIn.StandInLibrary;

namespace Farm.Backends.Tests.WhpStandIn;

/// <summary>Registers by name, from and to the soft CPU's state: written apart from the backend's own conversion.</summary>
internal static unsafe class StandInRegisters
{
    private const int InvalidName = unchecked((int)0x80370309), InvalidArgument = unchecked((int)0x80070057);

    public static WhvRegisterValue Get(CpuState* state, WhvRegister name)
    {
        switch (name)
        {
            case >= WhvRegister.Es and <= WhvRegister.Tr:
                {
                    ref var segment = ref (&state->Es)[SegmentIndex(name)];
                    return new() { Segment = new() { Base = segment.Base, Limit = segment.Limit, Selector = segment.Selector, Attributes = (ushort)(segment.Access & (segment.Unusable ? 0xFF7Fu : 0xFFFF)) } };
                }
            case WhvRegister.Gdtr:
                return new() { Table = new() { Base = state->Gdtr.Base, Limit = (ushort)state->Gdtr.Limit } };
            case WhvRegister.Idtr:
                return new() { Table = new() { Base = state->Idtr.Base, Limit = (ushort)state->Idtr.Limit } };
            case >= WhvRegister.Xmm0 and <= WhvRegister.Xmm15:
                {
                    int at = (name - WhvRegister.Xmm0) * 2;
                    return new() { Reg128 = new UInt128(state->Xmm[at + 1], state->Xmm[at]) };
                }
            case >= WhvRegister.FpMmx0 and <= WhvRegister.FpMmx7:
                {
                    int at = StackRegister(state, name) * 2;
                    return new() { Reg128 = new UInt128((ushort)state->Fpr[at + 1], state->Fpr[at]) };
                }
            case WhvRegister.FpControlStatus:
                {
                    int valid = 0;
                    for (int i = 0; i < 8; i++)
                        valid |= ((state->FpuTag >> (2 * i)) & 3) == 3 ? 0 : 1 << i;
                    return new() { FpControlStatus = new() { FpControl = state->FpuControl, FpStatus = state->FpuStatus, FpTag = (byte)valid, LastFpOp = state->FpuOpcode, LastFpRip = Pointer(state, state->FpuIp, state->FpuCs) } };
                }
            case WhvRegister.XmmControlStatus:
                return new() { XmmControlStatus = new() { LastFpRdp = Pointer(state, state->FpuDp, state->FpuDs), XmmStatusControl = state->Mxcsr, XmmStatusControlMask = 0x2FFFF } };
            case WhvRegister.InterruptState:
                return new() { Reg64 = (state->Shadow != InterruptShadow.None ? 1u : 0) | (state->NmiBlocked != 0 ? 2u : 0) };
            default:
                return new() { Reg64 = *Plain(state, name) };
        }
    }

    public static void Set(CpuState* state, WhvRegister name, in WhvRegisterValue value)
    {
        switch (name)
        {
            case >= WhvRegister.Es and <= WhvRegister.Tr:
                if ((value.Segment.Attributes & 0xF00) != 0)
                    throw new StandInMisuse(InvalidArgument, $"{name}: reserved attributes {value.Segment.Attributes:X}h");
                (&state->Es)[SegmentIndex(name)] = new SegmentCache
                {
                    Base = value.Segment.Base,
                    Limit = value.Segment.Limit,
                    Selector = value.Segment.Selector,
                    Access = value.Segment.Attributes | ((value.Segment.Attributes & 0x80) == 0 ? 1u << 16 : 0),
                };
                break;
            case WhvRegister.Gdtr:
                state->Gdtr = new DescriptorTable { Base = value.Table.Base, Limit = value.Table.Limit };
                break;
            case WhvRegister.Idtr:
                state->Idtr = new DescriptorTable { Base = value.Table.Base, Limit = value.Table.Limit };
                break;
            case >= WhvRegister.Xmm0 and <= WhvRegister.Xmm15:
                state->Xmm[(name - WhvRegister.Xmm0) * 2] = (ulong)value.Reg128;
                state->Xmm[((name - WhvRegister.Xmm0) * 2) + 1] = (ulong)(value.Reg128 >> 64);
                break;
            case >= WhvRegister.FpMmx0 and <= WhvRegister.FpMmx7:
                if (value.Reg128 >> 80 != 0)
                    throw new StandInMisuse(InvalidArgument, $"{name}: more than 80 bits");
                state->Fpr[StackRegister(state, name) * 2] = (ulong)value.Reg128;
                state->Fpr[(StackRegister(state, name) * 2) + 1] = (ulong)(value.Reg128 >> 64);
                break;
            case WhvRegister.FpControlStatus:
                SetFpuControl(state, value.FpControlStatus);
                break;
            case WhvRegister.XmmControlStatus:
                if (value.XmmControlStatus.XmmStatusControlMask != 0x2FFFF)
                    throw new StandInMisuse(InvalidArgument, $"MXCSR_MASK {value.XmmControlStatus.XmmStatusControlMask:X}h is not this processor's");
                state->Mxcsr = value.XmmControlStatus.XmmStatusControl;
                (state->FpuDp, state->FpuDs) = Split(state, value.XmmControlStatus.LastFpRdp);
                break;
            case WhvRegister.InterruptState:
                if (value.Reg64 > 3)
                    throw new StandInMisuse(InvalidArgument, $"InterruptState {value.Reg64:X}h");
                state->Shadow = (value.Reg64 & 1) != 0 ? InterruptShadow.Sti : InterruptShadow.None;
                state->NmiBlocked = (byte)(value.Reg64 >> 1);
                break;
            case WhvRegister.Rflags when (value.Reg64 & 2) == 0:
                throw new StandInMisuse(InvalidArgument, $"Rflags {value.Reg64:X}h: bit 1 is always set");
            default:
                *Plain(state, name) = value.Reg64;
                break;
        }
    }

    /// <summary>The stack's top decides which register is meant: control comes after the data in the order of one call.</summary>
    private static void SetFpuControl(CpuState* state, in WhvX64FpControlStatusRegister value)
    {
        int oldTop = (state->FpuStatus >> 11) & 7, newTop = (value.FpStatus >> 11) & 7;
        if (oldTop != newTop)
        {
            // Data registers are by place in the stack; they stay at their places.
            ulong* copy = stackalloc ulong[16];
            for (int i = 0; i < 8; i++)
            {
                int from = ((oldTop + i) & 7) * 2, to = ((newTop + i) & 7) * 2;
                (copy[to], copy[to + 1]) = (state->Fpr[from], state->Fpr[from + 1]);
            }
            for (int i = 0; i < 16; i++)
                state->Fpr[i] = copy[i];
        }
        state->FpuControl = value.FpControl;
        state->FpuStatus = value.FpStatus;
        int tags = 0;
        for (int i = 0; i < 8; i++)
            tags |= ((value.FpTag >> i) & 1) != 0 ? 0 : 3 << (2 * i);
        state->FpuTag = (ushort)tags;
        state->FpuOpcode = value.LastFpOp;
        (state->FpuIp, state->FpuCs) = Split(state, value.LastFpRip);
    }

    private static int SegmentIndex(WhvRegister name) => name - WhvRegister.Es;

    private static int StackRegister(CpuState* state, WhvRegister name) => (((state->FpuStatus >> 11) & 7) + (name - WhvRegister.FpMmx0)) & 7;

    private static bool LongMode(CpuState* state) => (state->Efer & ControlRegisters.EferLMA) != 0;

    private static ulong Pointer(CpuState* state, ulong offset, ushort selector) => LongMode(state) ? offset : (uint)offset | ((ulong)selector << 32);

    private static (ulong Offset, ushort Selector) Split(CpuState* state, ulong pointer) => LongMode(state) ? (pointer, (ushort)0) : ((uint)pointer, (ushort)(pointer >> 32));

    private static ulong* Plain(CpuState* state, WhvRegister name) => name switch
    {
        >= WhvRegister.Rax and <= WhvRegister.R15 => &state->Gpr[(int)name],
        WhvRegister.Rip => &state->Gpr[CpuState.RipSlot],
        WhvRegister.Rflags => &state->Rflags,
        WhvRegister.Cr0 => &state->Cr0,
        WhvRegister.Cr2 => &state->Cr2,
        WhvRegister.Cr3 => &state->Cr3,
        WhvRegister.Cr4 => &state->Cr4,
        >= WhvRegister.Dr0 and <= WhvRegister.Dr3 => &state->Dr[name - WhvRegister.Dr0],
        WhvRegister.Dr6 => &state->Dr[6],
        WhvRegister.Dr7 => &state->Dr[7],
        WhvRegister.Efer => &state->Efer,
        WhvRegister.Star => &state->Star,
        WhvRegister.Lstar => &state->Lstar,
        WhvRegister.Cstar => &state->Cstar,
        WhvRegister.Sfmask => &state->Fmask,
        WhvRegister.KernelGsBase => &state->KernelGsBase,
        WhvRegister.SysenterCs => &state->SysenterCs,
        WhvRegister.SysenterEsp => &state->SysenterEsp,
        WhvRegister.SysenterEip => &state->SysenterEip,
        WhvRegister.ApicBase => &state->ApicBase,
        WhvRegister.Pat => &state->Pat,
        _ => throw new StandInMisuse(InvalidName, $"register {(uint)name:X}h"),
    };
}
