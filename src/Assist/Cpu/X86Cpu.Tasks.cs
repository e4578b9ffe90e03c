namespace Farm.Assist.Cpu;

// Hardware task switching with 286 and 386 task state segments (SDM vol. 3, chapter 7).
public sealed unsafe partial class X86Cpu
{
    /// <summary>What causes a task switch: it decides over busy bits, NT and the back link (SDM vol. 3, table 7-2).</summary>
    private enum TaskSwitch
    {
        Jump,
        Call,
        Interrupt,
        Return,
    }

    private const uint TssIoMapBase32 = 0x66, Dr6TaskSwitch = 0x8000;

    /// <summary>Where a TSS holds what, in bytes (SDM vol. 3, figures 7-2 and 7-10).</summary>
    /// <param name="Size">Width of a saved register: 2 or 4.</param>
    /// <param name="MinimumLimit">Smallest valid limit.</param>
    private readonly record struct TssLayout(int Size, uint MinimumLimit, uint Cr3, uint Ip, uint Registers, uint Segments, int SegmentCount, uint Ldt, uint Trap)
    {
        public static readonly TssLayout Wide = new(4, 0x67, 0x1C, 0x20, 0x28, 0x48, 6, 0x60, 0x64);
        public static readonly TssLayout Narrow = new(2, 0x2B, 0, 0x0E, 0x12, 0x22, 4, 0x2A, 0);

        public static TssLayout For(int type) => (type & 8) != 0 ? Wide : Narrow;

        public uint Flags => Ip + (uint)Size;
    }

    /// <summary>The part of a TSS that a switch to it loads.</summary>
    private ref struct TaskImage
    {
        public uint Cr3, Ip, Flags;
        public ushort Ldt;
        public bool Trap;
        public Span<uint> Registers;
        public Span<ushort> Segments;
    }

    private Descriptor ReadTaskGateTarget(in Descriptor gate, uint ext)
    {
        int selector = gate.GateSelector;
        if ((selector & 4) != 0 || IsNull(selector) || !TryReadDescriptor(selector, out Descriptor tss)
            || !tss.IsSystem || tss.Type is not (Descriptor.TssAvailable16 or Descriptor.TssAvailable32))
        {
            throw Fault(Vectors.GP, SelectorError(selector, ext));
        }
        if (!tss.Present)
            throw Fault(Vectors.NP, SelectorError(selector, ext));
        return tss;
    }

    private void SwitchThroughTaskGate(ushort selector, in Descriptor gate, TaskSwitch reason)
    {
        RequirePresent(selector, gate);
        SwitchTask(gate.GateSelector, ReadTaskGateTarget(gate, 0), reason);
    }

    private void InterruptThroughTaskGate(in Descriptor gate, uint ext, uint flags, bool hasError, uint error)
    {
        Descriptor tss = ReadTaskGateTarget(gate, ext);
        bool trap = LoadTask(gate.GateSelector, tss, TaskSwitch.Interrupt, ext, flags);
        if (hasError)
        {
            StackFrame frame = CurrentStackFrame(TssLayout.For(tss.Type).Size, flat: false, ext);
            frame.Push(error);
            frame.Probe();
            CommitFrame(frame);
        }
        FinishTaskSwitch(trap);
    }

    /// <summary>Switches to the task of a checked TSS descriptor; on return the new task's first instruction is next.</summary>
    private void SwitchTask(int selector, in Descriptor tss, TaskSwitch reason) =>
        FinishTaskSwitch(LoadTask(selector, tss, reason, 0, Flags));

    private void FinishTaskSwitch(bool trap)
    {
        if (State->Rip > State->Cs.Limit)
            throw Fault(Vectors.GP, 0);
        if (trap)
            PendDebugTrap(Dr6TaskSwitch);
    }

    /// <summary>
    /// The switch itself; true when the new task's T bit is set. Faults before the commit belong to the old task and change
    /// nothing, later ones to the new task, whose first instruction is then the faulting one.
    /// </summary>
    private bool LoadTask(int selector, in Descriptor tss, TaskSwitch reason, uint ext, uint flags)
    {
        TssLayout layout = TssLayout.For(tss.Type);
        if (tss.Limit < layout.MinimumLimit)
            throw Fault(Vectors.TS, SelectorError(selector, ext));
        ProbeTaskSwitch(tss, layout, reason, ext);
        if (reason == TaskSwitch.Return)
            flags &= ~Eflags.NT;
        Commit();
        SaveTask(flags);
        if (reason is TaskSwitch.Jump or TaskSwitch.Return)
            SetBusy(OldTssDescriptorAddress, false);

        var image = new TaskImage { Registers = stackalloc uint[8], Segments = stackalloc ushort[6] };
        ReadTaskImage(tss.Base, layout, ref image);
        if (reason is TaskSwitch.Call or TaskSwitch.Interrupt)
        {
            WriteLinear(tss.Base, State->Tr.Selector);
            image.Flags |= Eflags.NT;
        }
        if (reason != TaskSwitch.Return)
            SetBusy(tss.Address, true);
        State->Tr = tss.ToCache(selector);
        State->Tr.Access |= Descriptor.BusyBit;
        State->Cr0 |= ControlRegisters.Cr0TS;
        State->Dr[7] &= ~0x155ul;
        ModeChanged();
        LoadTaskImage(layout, image, selector, ext);
        return image.Trap;
    }

    private ulong OldTssDescriptorAddress => (uint)(State->Gdtr.Base + (State->Tr.Selector & 0xFFF8u));

    private void SetBusy(ulong descriptor, bool busy)
    {
        byte access = ReadLinear<byte>(descriptor + 5);
        WriteLinear(descriptor + 5, (byte)(busy ? access | Descriptor.BusyBit : access & ~Descriptor.BusyBit));
    }

    /// <summary>Raises in the old task every fault that touching the two TSSs and their descriptors can raise.</summary>
    private void ProbeTaskSwitch(in Descriptor tss, in TssLayout layout, TaskSwitch reason, uint ext)
    {
        ref SegmentCache tr = ref State->Tr;
        TssLayout old = TssLayout.For(tr.Type);
        if (tr.Unusable || tr.Limit < old.MinimumLimit)
            throw Fault(Vectors.TS, SelectorError(tr.Selector, ext));
        uint oldBase = (uint)tr.Base;
        ProbeLinearWrite(oldBase + old.Ip, 1);
        ProbeLinearWrite(oldBase + old.Ldt - 1, 1);
        if (reason is TaskSwitch.Jump or TaskSwitch.Return)
            ProbeLinearWrite(OldTssDescriptorAddress + 5, 1);
        if (reason != TaskSwitch.Return)
            ProbeLinearWrite(tss.Address + 5, 1);
        if (reason is TaskSwitch.Call or TaskSwitch.Interrupt)
            ProbeLinearWrite(tss.Base, 2);
        _ = ReadLinear<byte>(tss.Base);
        _ = ReadLinear<byte>(tss.Base + layout.MinimumLimit);
    }

    private void SaveTask(uint flags)
    {
        TssLayout layout = TssLayout.For(State->Tr.Type);
        WriteTss(layout.Ip, (uint)State->Rip, layout.Size);
        WriteTss(layout.Flags, flags, layout.Size);
        for (uint i = 0; i < 8; i++)
            WriteTss(layout.Registers + (i * (uint)layout.Size), (uint)State->Gpr[i], layout.Size);
        for (uint i = 0; i < layout.SegmentCount; i++)
            WriteTss(layout.Segments + (i * (uint)layout.Size), Segment((Seg)i).Selector, 2);
    }

    private void WriteTss(uint place, uint value, int size)
    {
        uint address = (uint)State->Tr.Base + place;
        if (size == 2)
            WriteLinear(address, (ushort)value);
        else
            WriteLinear(address, value);
    }

    private void ReadTaskImage(uint address, in TssLayout layout, ref TaskImage image)
    {
        bool wide = layout.Size == 4;
        image.Cr3 = wide ? ReadLinear<uint>(address + layout.Cr3) : 0;
        image.Ip = wide ? ReadLinear<uint>(address + layout.Ip) : ReadLinear<ushort>(address + layout.Ip);
        image.Flags = wide ? ReadLinear<uint>(address + layout.Flags) : ReadLinear<ushort>(address + layout.Flags);
        for (uint i = 0; i < 8; i++)
        {
            uint place = address + layout.Registers + (i * (uint)layout.Size);
            image.Registers[(int)i] = wide ? ReadLinear<uint>(place) : 0xFFFF0000 | ReadLinear<ushort>(place);
        }
        for (uint i = 0; i < layout.SegmentCount; i++)
            image.Segments[(int)i] = ReadLinear<ushort>(address + layout.Segments + (i * (uint)layout.Size));
        image.Ldt = ReadLinear<ushort>(address + layout.Ldt);
        image.Trap = wide && (ReadLinear<byte>(address + layout.Trap) & 1) != 0;
    }

    private void LoadTaskImage(in TssLayout layout, in TaskImage image, int selector, uint ext)
    {
        const uint Fixed = 2;
        const uint Loaded = LoadableFlags32 | Eflags.IF | Eflags.IoplMask | Eflags.VM | Eflags.VIF | Eflags.VIP;
        for (int i = 0; i < 8; i++)
            State->Gpr[i] = image.Registers[i];
        State->Rip = image.Ip;

        // All selectors are in place, none of the descriptors is, until each has been checked.
        int cpl = (image.Flags & Eflags.VM) != 0 ? 3 : image.Segments[(int)Seg.Cs] & 3;
        State->Ss.Access = UnusableAccess | ((uint)cpl << 5);
        for (Seg seg = Seg.Es; seg <= Seg.Gs; seg++)
            SetNull(seg, image.Segments[(int)seg]);
        State->Ldtr = new SegmentCache { Selector = image.Ldt, Access = UnusableAccess };
        Flags = (image.Flags & Loaded) | Fixed;
        if (layout.Size == 4 && (State->Cr0 & ControlRegisters.Cr0PG) != 0 && !TryLoadCr3(image.Cr3))
            throw Fault(Vectors.TS, SelectorError(selector, ext));
        LoadTaskLdt(image.Ldt, ext);
        if (Vm86)
        {
            for (Seg seg = Seg.Es; seg <= Seg.Gs; seg++)
                SetRealSegment(seg, image.Segments[(int)seg]);
            return;
        }
        LoadTaskCode(image.Segments[(int)Seg.Cs], ext);
        ushort ss = image.Segments[(int)Seg.Ss];
        if (IsNull(ss))
            throw Fault(Vectors.TS, SelectorError(ss, ext));
        SetSegment(Seg.Ss, SetAccessed(ReadStackSegment(ss, cpl, Vectors.TS, ext)).ToCache(ss));
        LoadTaskData(Seg.Ds, image, cpl, ext);
        LoadTaskData(Seg.Es, image, cpl, ext);
        LoadTaskData(Seg.Fs, image, cpl, ext);
        LoadTaskData(Seg.Gs, image, cpl, ext);
    }

    private void LoadTaskLdt(ushort selector, uint ext)
    {
        if (IsNull(selector))
            return;
        if ((selector & 4) != 0 || !TryReadDescriptor(selector, out Descriptor ldt)
            || !ldt.IsSystem || ldt.Type != Descriptor.Ldt || !ldt.Present)
        {
            throw Fault(Vectors.TS, SelectorError(selector, ext));
        }
        State->Ldtr = ldt.ToCache(selector);
    }

    private void LoadTaskCode(ushort selector, uint ext)
    {
        int rpl = selector & 3;
        if (IsNull(selector) || !TryReadDescriptor(selector, out Descriptor code) || !code.IsCode
            || (code.IsConforming ? code.Dpl > rpl : code.Dpl != rpl))
        {
            throw Fault(Vectors.TS, SelectorError(selector, ext));
        }
        if (!code.Present)
            throw Fault(Vectors.NP, SelectorError(selector, ext));
        State->Cs = SetAccessed(code).ToCache(selector);
        SegmentLoaded(Seg.Cs);
    }

    private void LoadTaskData(Seg seg, in TaskImage image, int cpl, uint ext)
    {
        ushort selector = image.Segments[(int)seg];
        if (IsNull(selector))
            return;
        if (!TryReadDescriptor(selector, out Descriptor descriptor))
            throw Fault(Vectors.TS, SelectorError(selector, ext));
        CheckDataSegment(selector, descriptor, cpl, Vectors.TS, ext);
        SetSegment(seg, SetAccessed(descriptor).ToCache(selector));
    }
}
