namespace Farm.Assist.Cpu;

// IRET, IRETD and IRETQ in every mode (SDM vol. 2 under IRET; vol. 3, 7.3 and 20.2.4).
public sealed unsafe partial class X86Cpu
{
    /// <summary>Flags that any program may load: arithmetic, TF, DF, NT; and with a 32-bit operand RF, AC and ID.</summary>
    private const uint LoadableFlags16 = Eflags.Arithmetic | Eflags.TF | Eflags.DF | Eflags.NT;

    private const uint LoadableFlags32 = LoadableFlags16 | Eflags.RF | Eflags.AC | Eflags.ID;

    /// <summary>Returns from an interrupt; <paramref name="size"/> is the operand size in bytes.</summary>
    public void InterruptReturn(int size)
    {
        if (!ProtectedMode)
            ReturnReal(size);
        else if (Vm86 && Iopl < 3 && (size != 2 || (State->Cr4 & ControlRegisters.Cr4VME) == 0))
        {
            Raise(Vectors.GP, 0);
            return;
        }
        else if (Vm86)
            ReturnVirtual8086(size);
        else if ((State->Rflags & Eflags.NT) != 0)
            ReturnFromTask();
        else
            ReturnProtected(size);
        State->NmiBlocked = 0;
    }

    private void ReturnReal(int size)
    {
        ulong rip = PeekSized(0, size);
        var selector = (ushort)PeekSized(size, size);
        var flags = (uint)PeekSized(2 * size, size);
        if (rip > State->Cs.Limit)
            throw Fault(Vectors.GP, 0);
        AdjustSp(3 * size);
        SetRealSegment(Seg.Cs, selector);
        State->Rip = rip;
        uint loaded = (size == 2 ? LoadableFlags16 : LoadableFlags32) | Eflags.IF | Eflags.IoplMask;
        Flags = (Flags & ~loaded) | (flags & loaded);
    }

    private void ReturnVirtual8086(int size)
    {
        bool virtualIf = Iopl < 3;
        ulong rip = PeekSized(0, size);
        var selector = (ushort)PeekSized(size, size);
        var flags = (uint)PeekSized(2 * size, size);
        if (rip > State->Cs.Limit)
            throw Fault(Vectors.GP, 0);
        uint loaded = size == 2 ? LoadableFlags16 : LoadableFlags32;
        if (virtualIf)
            flags = LoadVirtualInterruptFlag(flags, ref loaded);
        else
            loaded |= Eflags.IF;
        AdjustSp(3 * size);
        SetRealSegment(Seg.Cs, selector);
        State->Rip = rip;
        Flags = (Flags & ~loaded) | (flags & loaded);
    }

    /// <summary>
    /// The VME rules for loading FLAGS (POPF, IRET with IOPL below 3): IF goes to VIF; #GP(0) if TF would be set, or if a virtual
    /// interrupt is pending and would be let in (SDM vol. 3, 20.3).
    /// </summary>
    internal uint LoadVirtualInterruptFlag(uint flags, ref uint loaded)
    {
        bool enables = (flags & Eflags.IF) != 0;
        if ((flags & Eflags.TF) != 0 || (enables && (State->Rflags & Eflags.VIP) != 0))
            throw Fault(Vectors.GP, 0);
        loaded |= Eflags.VIF;
        return enables ? flags | Eflags.VIF : flags & ~Eflags.VIF;
    }

    private void ReturnProtected(int size)
    {
        int cpl = Cpl;
        ulong rip = PeekSized(0, size);
        var selector = (ushort)PeekSized(size, size);
        var flags = (uint)PeekSized(2 * size, size);
        if (size == 4 && (flags & Eflags.VM) != 0 && cpl == 0 && !LongModeActive)
        {
            ReturnToVirtual8086(rip, selector, flags);
            return;
        }
        uint loaded = size == 2 ? LoadableFlags16 : LoadableFlags32;
        if (cpl <= Iopl)
            loaded |= Eflags.IF;
        if (cpl == 0)
            loaded |= Eflags.IoplMask | (size == 2 ? 0 : Eflags.VIF | Eflags.VIP);

        Descriptor code = ReadReturnTarget(selector);
        if ((selector & 3) != cpl || Mode64)
        {
            ulong sp = PeekSized(3 * size, size);
            var ss = (ushort)PeekSized(4 * size, size);
            ReturnToOuterRing(code, selector, rip, ss, sp, 0);
        }
        else
        {
            CheckInstructionPointer(code, rip);
            code = SetAccessed(code);
            AdjustSp(3 * size);
            SetCodeSegment(code, selector, cpl, rip);
        }
        Flags = (Flags & ~loaded) | (flags & loaded);
    }

    private void ReturnToVirtual8086(ulong rip, ushort selector, uint flags)
    {
        uint sp = Peek<uint>(12);
        var ss = (ushort)Peek<uint>(16);
        var es = (ushort)Peek<uint>(20);
        var ds = (ushort)Peek<uint>(24);
        var fs = (ushort)Peek<uint>(28);
        var gs = (ushort)Peek<uint>(32);
        if (rip > 0xFFFF)
            throw Fault(Vectors.GP, 0);
        const uint Loaded = LoadableFlags32 | Eflags.IF | Eflags.IoplMask | Eflags.VM | Eflags.VIF | Eflags.VIP;
        Flags = (Flags & ~Loaded) | (flags & Loaded);
        SetRealSegment(Seg.Cs, selector);
        SetRealSegment(Seg.Ss, ss);
        SetRealSegment(Seg.Es, es);
        SetRealSegment(Seg.Ds, ds);
        SetRealSegment(Seg.Fs, fs);
        SetRealSegment(Seg.Gs, gs);
        State->Rip = rip;
        State->Gpr[StackPointer] = sp;
    }

    private void ReturnFromTask()
    {
        if (LongModeActive)
            throw Fault(Vectors.GP, 0);
        ref SegmentCache tr = ref State->Tr;
        if (tr.Unusable || tr.Limit < 1)
            throw Fault(Vectors.TS, SelectorError(tr.Selector));
        ushort selector = ReadLinear<ushort>(TssAddress(0));
        if ((selector & 4) != 0 || IsNull(selector) || !TryReadDescriptor(selector, out Descriptor tss))
            throw Fault(Vectors.TS, SelectorError(selector));
        if (!tss.IsSystem || tss.Type is not (Descriptor.TssBusy16 or Descriptor.TssBusy32))
            throw Fault(Vectors.TS, SelectorError(selector));
        RequirePresent(selector, tss);
        SwitchTask(selector, tss, TaskSwitch.Return);
    }
}
