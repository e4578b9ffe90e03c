using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;

namespace Farm.Assist.Monitor;

/// <summary>Between a real-mode state and its image in virtual-8086 mode under the monitor.</summary>
internal static unsafe class Vm86State
{
    /// <summary>CR0 bits that act on real-mode code and are the guest's own on the processor too.</summary>
    private const uint OwnCr0 = ControlRegisters.Cr0MP | ControlRegisters.Cr0EM | ControlRegisters.Cr0TS | ControlRegisters.Cr0ET
        | ControlRegisters.Cr0NE | ControlRegisters.Cr0NW | ControlRegisters.Cr0CD;

    /// <summary>Not the guest's in virtual-8086 mode: VM and IOPL = 3 are ours, VIF and VIP have no meaning in real mode.</summary>
    private const uint MonitorFlags = Eflags.VM | Eflags.IoplMask | Eflags.VIF | Eflags.VIP;

    private const uint Vm86Access = 0xF3, RealAccess = 0x93;

    /// <summary>
    /// True when virtual-8086 mode executes this real-mode state faithfully or traps. Limits above 64 KiB do not count against it:
    /// what reaches beyond 64 KiB faults there and is emulated with the true limit.
    /// </summary>
    public static bool IsRepresentable(CpuState* state) =>
        (state->Cr0 & ControlRegisters.Cr0PE) == 0 && state->Rip <= 0xFFFF && BlockingSegments(state) == 0;

    /// <summary>The segment registers (bit 0 ES, 1 CS...) that virtual-8086 mode cannot hold as they are.</summary>
    public static int BlockingSegments(CpuState* state)
    {
        int blocking = (state->Cs.Big ? 1 << (int)Seg.Cs : 0) | (state->Ss.Big ? 1 << (int)Seg.Ss : 0);
        SegmentCache* segment = &state->Es;
        for (int i = 0; i < 6; i++, segment++)
        {
            if (segment->Base != (ulong)segment->Selector << 4 || segment->Limit < 0xFFFF || segment->ExpandDown || segment->Unusable)
                blocking |= 1 << i;
        }
        return blocking;
    }

    /// <summary>The guest's flags as virtual-8086 mode needs them.</summary>
    public static uint ToVm86Flags(uint flags) => (flags & ~MonitorFlags) | Eflags.VM | Eflags.IoplMask | 2;

    /// <summary>
    /// The guest's flags as real mode has them. IOPL stays 3, as the guest sees it in everything that virtual-8086 mode pushes;
    /// protected mode begins with 0, see <see cref="ToProtectedFlags"/>.
    /// </summary>
    public static uint ToRealFlags(uint flags) => (flags & ~(MonitorFlags & ~Eflags.IoplMask)) | 2;

    /// <summary>The flags with which a guest enters protected mode: the IOPL of virtual-8086 mode was not its own.</summary>
    public static ulong ToProtectedFlags(ulong flags) => flags & ~(ulong)Eflags.IoplMask;

    /// <summary>Takes registers, selectors and flags from the monitor's frame; hidden limits and rights stay what they were.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load(CpuState* guest, MonitorFrame* frame)
    {
        ulong* gpr = guest->Gpr;
        gpr[0] = frame->Eax;
        gpr[1] = frame->Ecx;
        gpr[2] = frame->Edx;
        gpr[3] = frame->Ebx;
        gpr[4] = frame->Esp;
        gpr[5] = frame->Ebp;
        gpr[6] = frame->Esi;
        gpr[7] = frame->Edi;
        guest->Rip = frame->Eip;
        guest->Rflags = ToRealFlags(frame->Eflags);
        Reload(ref guest->Es, (ushort)frame->Es);
        ReloadCode(ref guest->Cs, (ushort)frame->Cs);
        Reload(ref guest->Ss, (ushort)frame->Ss);
        Reload(ref guest->Ds, (ushort)frame->Ds);
        Reload(ref guest->Fs, (ushort)frame->Fs);
        Reload(ref guest->Gs, (ushort)frame->Gs);
    }

    /// <summary>Takes them from a processor that is in virtual-8086 mode itself.</summary>
    public static void Load(CpuState* guest, CpuState* vm86)
    {
        for (int i = 0; i < 8; i++)
            guest->Gpr[i] = (uint)vm86->Gpr[i];
        guest->Rip = (uint)vm86->Rip;
        guest->Rflags = ToRealFlags((uint)vm86->Rflags);
        SegmentCache* target = &guest->Es, source = &vm86->Es;
        for (int i = 0; i < 6; i++)
            Reload(ref target[i], source[i].Selector);
        ReloadCode(ref guest->Cs, vm86->Cs.Selector);
    }

    /// <summary>Writes a representable state into the frame from which the monitor returns; vector and error code are left alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(CpuState* guest, MonitorFrame* frame)
    {
        ulong* gpr = guest->Gpr;
        frame->Eax = (uint)gpr[0];
        frame->Ecx = (uint)gpr[1];
        frame->Edx = (uint)gpr[2];
        frame->Ebx = (uint)gpr[3];
        frame->Esp = (uint)gpr[4];
        frame->Ebp = (uint)gpr[5];
        frame->Esi = (uint)gpr[6];
        frame->Edi = (uint)gpr[7];
        frame->Eip = (uint)guest->Rip;
        frame->Eflags = ToVm86Flags((uint)guest->Rflags);
        frame->Es = guest->Es.Selector;
        frame->Cs = guest->Cs.Selector;
        frame->Ss = guest->Ss.Selector;
        frame->Ds = guest->Ds.Selector;
        frame->Fs = guest->Fs.Selector;
        frame->Gs = guest->Gs.Selector;
    }

    /// <summary>
    /// Puts a representable state onto the processor as virtual-8086 code under the monitor: the monitor's tables, CR0.PE, and
    /// the guest's own everything else.
    /// </summary>
    public static void Enter(CpuState* vcpu, CpuState* guest, AssistOptions options)
    {
        ulong tscOffset = vcpu->TscOffset;
        *vcpu = *guest;
        vcpu->TscOffset = tscOffset;
        vcpu->Cr0 = (guest->Cr0 & OwnCr0) | ControlRegisters.Cr0PE;
        vcpu->Cr4 = guest->Cr4 & ~(ulong)(ControlRegisters.Cr4VME | ControlRegisters.Cr4UMIP);
        if (options.Model.Has(CpuFeatures.Vme))
            vcpu->Cr4 |= ControlRegisters.Cr4VME;
        if (options.TrapsTableReads)
            vcpu->Cr4 |= ControlRegisters.Cr4UMIP;
        vcpu->Rflags = ToVm86Flags((uint)guest->Rflags);
        SegmentCache* segment = &vcpu->Es;
        for (int i = 0; i < 6; i++, segment++)
        {
            segment->Limit = 0xFFFF;
            segment->Access = Vm86Access;
        }
        // SYSENTER raises #GP in real mode, but in virtual-8086 mode only while its MSR is 0.
        vcpu->SysenterCs = 0;
        LoadMonitorTables(vcpu, options.Processor);
    }

    /// <summary>
    /// Flat 32-bit protected mode with interrupts off, as the loader and the monitor are entered: 4 GiB segments, no paging, no
    /// usable descriptor tables.
    /// </summary>
    public static void EnterFlat(CpuState* vcpu, uint entry)
    {
        vcpu->Cr0 = (vcpu->Cr0 & (ControlRegisters.Cr0ET | ControlRegisters.Cr0NE | ControlRegisters.Cr0NW | ControlRegisters.Cr0CD)) | ControlRegisters.Cr0PE;
        vcpu->Cr3 = 0;
        vcpu->Cr4 = 0;
        vcpu->Efer = 0;
        vcpu->Rflags = 2;
        var data = new SegmentCache { Selector = MonitorLayout.DataSelector, Limit = 0xFFFFFFFF, Access = 0xC093 };
        vcpu->Es = vcpu->Ss = vcpu->Ds = vcpu->Fs = vcpu->Gs = data;
        vcpu->Cs = new SegmentCache { Selector = MonitorLayout.CodeSelector, Limit = 0xFFFFFFFF, Access = 0xC09B };
        vcpu->Ldtr = new SegmentCache { Access = 0x10000 };
        vcpu->Tr = new SegmentCache { Limit = 0xFFFF, Access = 0x8B };
        vcpu->Gdtr = vcpu->Idtr = default;
        vcpu->Shadow = InterruptShadow.None;
        vcpu->Activity = Activity.Active;
        vcpu->NmiBlocked = 0;
        vcpu->Rip = entry;
    }

    /// <summary>
    /// Real mode as RESET (F000:FFF0, the copy of the BIOS below 1 MiB) or SIPI leaves it; FPU, MSRs and cache control stay.
    /// </summary>
    public static void EnterReal(CpuState* state, uint signature, byte? sipiVector)
    {
        for (int i = 0; i < 16; i++)
            state->Gpr[i] = 0;
        state->Gpr[2] = signature;
        state->Cr0 &= ControlRegisters.Cr0ET | ControlRegisters.Cr0NE | ControlRegisters.Cr0NW | ControlRegisters.Cr0CD;
        state->Cr2 = state->Cr3 = state->Cr4 = 0;
        state->Efer = 0;
        state->Rflags = 2;
        state->Es = state->Ss = state->Ds = state->Fs = state->Gs = SegmentCache.RealMode(0);
        state->Cs = SegmentCache.RealMode(sipiVector is { } vector ? (ushort)(vector << 8) : (ushort)0xF000);
        state->Ldtr = new SegmentCache { Limit = 0xFFFF, Access = 0x82 };
        state->Tr = new SegmentCache { Limit = 0xFFFF, Access = 0x8B };
        state->Gdtr = state->Idtr = new DescriptorTable { Limit = 0xFFFF };
        state->Dr[6] = 0xFFFF0FF0;
        state->Dr[7] = 0x400;
        state->Shadow = InterruptShadow.None;
        state->Activity = Activity.Active;
        state->NmiBlocked = state->SystemManagement = 0;
        state->Rip = sipiVector is null ? 0xFFF0u : 0;
    }

    private static void LoadMonitorTables(CpuState* vcpu, int processor)
    {
        vcpu->Gdtr = new DescriptorTable { Base = MonitorLayout.Base + MonitorLayout.GdtOffset, Limit = MonitorLayout.GdtLimit };
        vcpu->Idtr = new DescriptorTable { Base = MonitorLayout.Base + MonitorLayout.IdtOffset, Limit = MonitorLayout.IdtLimit };
        vcpu->Ldtr = new SegmentCache { Access = 0x10000 };
        vcpu->Tr = new SegmentCache
        {
            Selector = MonitorLayout.TssSelector(processor),
            Base = MonitorLayout.Slice(processor) + MonitorLayout.Tss,
            Limit = MonitorLayout.TssLimit,
            Access = 0x8B,
        };
    }

    /// <summary>A real-mode load of a selector that may have been loaded since: base and selector follow, limit and rights stay (SDM vol. 3, 20.1.1).</summary>
    private static void Reload(ref SegmentCache segment, ushort selector)
    {
        segment.Selector = selector;
        segment.Base = (ulong)selector << 4;
    }

    /// <summary>As real mode loads CS: type "data" as after RESET.</summary>
    private static void ReloadCode(ref SegmentCache segment, ushort selector)
    {
        Reload(ref segment, selector);
        segment.Access = (segment.Access & 0xD000) | RealAccess;
    }
}
