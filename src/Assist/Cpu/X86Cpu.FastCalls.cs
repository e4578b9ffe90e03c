namespace Farm.Assist.Cpu;

// SYSENTER, SYSEXIT, SYSCALL, SYSRET (SDM vol. 2; vol. 3, 5.8.7 and 5.8.8): flat segments without a look at any descriptor.
public sealed unsafe partial class X86Cpu
{
    private const uint FlatCode32 = 0xC09B, FlatCode64 = 0xA09B, FlatData = 0xC093;

    public void SystemEnter()
    {
        if (!ProtectedMode || IsNull((int)State->SysenterCs))
            throw Fault(Vectors.GP, 0);
        bool wide = LongModeActive;
        Flags &= ~(Eflags.VM | Eflags.IF | Eflags.RF);
        SetFlatSegments((int)State->SysenterCs & 0xFFFC, ((int)State->SysenterCs & 0xFFFC) + 8, 0, wide);
        State->Gpr[StackPointer] = wide ? State->SysenterEsp : (uint)State->SysenterEsp;
        State->Rip = wide ? State->SysenterEip : (uint)State->SysenterEip;
    }

    /// <param name="wide">REX.W: return to 64-bit code.</param>
    public void SystemExit(bool wide)
    {
        int selector = (int)State->SysenterCs & 0xFFFC;
        if (!ProtectedMode || selector == 0 || Cpl != 0)
            throw Fault(Vectors.GP, 0);
        ulong sp = State->Gpr[1], rip = State->Gpr[2];
        if (wide && (!IsCanonical(sp) || !IsCanonical(rip)))
            throw Fault(Vectors.GP, 0);
        SetFlatSegments(selector + (wide ? 32 : 16), selector + (wide ? 40 : 24), 3, wide);
        State->Gpr[StackPointer] = wide ? sp : (uint)sp;
        State->Rip = wide ? rip : (uint)rip;
    }

    public void SystemCall()
    {
        if ((State->Efer & ControlRegisters.EferSCE) == 0 || !Mode64)
            throw Fault(Vectors.UD);
        uint flags = Flags;
        State->Gpr[1] = State->Rip;
        State->Gpr[11] = flags & ~Eflags.RF;
        int selector = (int)(State->Star >> 32) & 0xFFFC;
        SetFlatSegments(selector, selector + 8, 0, wide: true);
        State->Rip = State->Lstar;
        Flags = flags & ~((uint)State->Fmask | Eflags.RF);
    }

    /// <param name="wide">REX.W: return to 64-bit code.</param>
    public void SystemReturn(bool wide)
    {
        if ((State->Efer & ControlRegisters.EferSCE) == 0 || !Mode64)
            throw Fault(Vectors.UD);
        ulong rip = State->Gpr[1];
        if (Cpl != 0 || (wide && !IsCanonical(rip)))
            throw Fault(Vectors.GP, 0);
        int selector = (int)(State->Star >> 48);
        Flags = ((uint)State->Gpr[11] & 0x3C7FD7) | 2;
        SetFlatSegments(selector + (wide ? 16 : 0), selector + 8, 3, wide);
        State->Rip = wide ? rip : (uint)rip;
    }

    private void SetFlatSegments(int code, int stack, int cpl, bool wide)
    {
        uint dpl = (uint)cpl << 5;
        SetSegment(Seg.Ss, new SegmentCache { Selector = (ushort)(stack | cpl), Limit = uint.MaxValue, Access = FlatData | dpl });
        SetSegment(Seg.Cs, new SegmentCache { Selector = (ushort)(code | cpl), Limit = uint.MaxValue, Access = (wide ? FlatCode64 : FlatCode32) | dpl });
    }
}
