using System.Runtime.Intrinsics.X86;
using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Kvm.Native;

namespace Farm.Machine.Hypervisors.Kvm;

// Registers: fetched when someone looks, written back when they changed. General and system registers and events come with each exit in the
// shared page where the run loop needs them, else they cost a call, as FPU, MSRs and debug registers do.
internal sealed unsafe partial class KvmVcpu
{
    private const uint TimeStamp = 0x10;

    private static readonly uint[] Msrs = [TimeStamp, 0x174, 0x175, 0x176, 0xC0000081, 0xC0000082, 0xC0000083, 0xC0000084, 0xC0000102, 0x277, 0x1A0];

    /// <summary>
    /// The host's processor is QEMU's translator with SVM (as in infra/nested-kvm): up to QEMU 7.2 at least it keeps TR with the busy bit
    /// clear and aborts on the first change of privilege under a TR that has it set.
    /// </summary>
    private static readonly bool TrWithoutBusy = X86Base.IsSupported && X86Base.CpuId(0x40000000, 0) is (_, 0x54474354, 0x43544743, 0x47435447);

    private readonly uint[] _msrs;

    /// <summary>Two of them: what was handed out, and behind it what it was when fetched.</summary>
    private CpuState* _state;
    private bool _fetched;

    /// <summary>Which of the shared page's registers are those of now.</summary>
    private ulong _known;

    /// <summary>A pending access is completed first. Not to be asked for by a device that answers a read.</summary>
    public CpuState* State
    {
        get
        {
            if (_fetched)
                return _state;
            CompleteAccess();
            Fetch();
            _state[1] = *_state;
            _fetched = true;
            return _state;
        }
    }

    private static ref ulong MsrSlot(CpuState* state, uint index)
    {
        switch (index)
        {
            case TimeStamp:
                return ref state->TscOffset;
            case 0x174:
                return ref state->SysenterCs;
            case 0x175:
                return ref state->SysenterEsp;
            case 0x176:
                return ref state->SysenterEip;
            case 0xC0000081:
                return ref state->Star;
            case 0xC0000082:
                return ref state->Lstar;
            case 0xC0000083:
                return ref state->Cstar;
            case 0xC0000084:
                return ref state->Fmask;
            case 0xC0000102:
                return ref state->KernelGsBase;
            case 0x277:
                return ref state->Pat;
            default:
                return ref state->MiscEnable;
        }
    }

    private static SegmentCache FromKvm(in KvmSegment segment) => new()
    {
        Base = segment.Base,
        Limit = segment.Limit,
        Selector = segment.Selector,
        Access = (uint)(segment.Type | (segment.S << 4) | (segment.Dpl << 5) | (segment.Present << 7) | (segment.Avl << 12)
            | (segment.L << 13) | (segment.Db << 14) | (segment.G << 15) | (segment.Unusable << 16)),
    };

    private static KvmSegment ToKvm(in SegmentCache cache)
    {
        uint access = cache.Access;
        byte Bit(int bit) => (byte)((access >> bit) & 1);
        return new KvmSegment
        {
            Base = cache.Base,
            Limit = cache.Limit,
            Selector = cache.Selector,
            Type = (byte)cache.Type,
            S = Bit(4),
            Dpl = (byte)cache.Dpl,
            Present = Bit(7),
            Avl = Bit(12),
            L = Bit(13),
            Db = Bit(14),
            G = Bit(15),
            Unusable = Bit(16),
        };
    }

    private uint[] KnownMsrs() => [.. Msrs.Where(index =>
    {
        ulong* request = stackalloc ulong[3];
        request[0] = 1;
        ((KvmMsrEntry*)(request + 1))->Index = index;
        return _file.Try(KvmIoctl.GetMsrs, request) == 1;
    })];

    /// <summary>Fetches what of the given registers did not come with the exit.</summary>
    private void Know(ulong registers)
    {
        registers &= ~_known;
        if ((registers & KvmConstants.SyncRegs) != 0)
            _file.Call(KvmIoctl.GetRegs, &_run->Sync.Regs, "KVM_GET_REGS");
        if ((registers & KvmConstants.SyncSregs) != 0)
            _file.Call(KvmIoctl.GetSregs, &_run->Sync.Sregs, "KVM_GET_SREGS");
        if ((registers & KvmConstants.SyncEvents) != 0)
            _file.Call(KvmIoctl.GetVcpuEvents, &_run->Sync.Events, "KVM_GET_VCPU_EVENTS");
        _known |= registers;
    }

    private void Fetch()
    {
        var activity = ActivityNow();
        Know(KvmConstants.SyncAll);
        CpuState* state = _state;
        *state = default;
        state->Activity = activity;
        ref readonly var regs = ref _run->Sync.Regs;
        ulong* gpr = state->Gpr;
        (gpr[0], gpr[1], gpr[2], gpr[3]) = (regs.Rax, regs.Rcx, regs.Rdx, regs.Rbx);
        (gpr[4], gpr[5], gpr[6], gpr[7]) = (regs.Rsp, regs.Rbp, regs.Rsi, regs.Rdi);
        for (int i = 0; i < 8; i++)
            gpr[8 + i] = _run->Sync.Regs.R8To15[i];
        state->Rip = regs.Rip;
        state->Rflags = regs.Rflags;
        ref readonly var sregs = ref _run->Sync.Sregs;
        state->Es = FromKvm(sregs.Es);
        state->Cs = FromKvm(sregs.Cs);
        state->Ss = FromKvm(sregs.Ss);
        state->Ds = FromKvm(sregs.Ds);
        state->Fs = FromKvm(sregs.Fs);
        state->Gs = FromKvm(sregs.Gs);
        state->Ldtr = FromKvm(sregs.Ldt);
        state->Tr = FromKvm(sregs.Tr);
        state->Gdtr = new DescriptorTable { Base = sregs.Gdt.Base, Limit = sregs.Gdt.Limit };
        state->Idtr = new DescriptorTable { Base = sregs.Idt.Base, Limit = sregs.Idt.Limit };
        (state->Cr0, state->Cr2, state->Cr3, state->Cr4, state->Cr8) = (sregs.Cr0, sregs.Cr2, sregs.Cr3, sregs.Cr4, sregs.Cr8);
        state->Efer = sregs.Efer;
        state->ApicBase = sregs.ApicBase;
        // The kernel tells them in KVM_GET_SREGS2 only; a guest that changes its table reloads CR3 (SDM vol. 3, 4.4.1).
        const ulong pae = ControlRegisters.Cr4PAE;
        if ((state->Cr0 & ControlRegisters.Cr0PG) != 0 && (state->Cr4 & pae) != 0 && (state->Efer & ControlRegisters.EferLMA) == 0)
            _memory.Read(state->Cr3 & 0xFFFFFFE0, new Span<byte>(state->Pdpte, 32));
        byte shadow = _run->Sync.Events.InterruptShadow;
        state->Shadow = (shadow & KvmConstants.ShadowMovSs) != 0 ? InterruptShadow.MovSs : (shadow & KvmConstants.ShadowSti) != 0 ? InterruptShadow.Sti : InterruptShadow.None;
        state->NmiBlocked = _run->Sync.Events.NmiMasked;
        FetchFpu(state);
        FetchMsrs(state);
        KvmDebugRegs debug;
        _file.Call(KvmIoctl.GetDebugRegs, &debug, "KVM_GET_DEBUGREGS");
        for (int i = 0; i < 4; i++)
            state->Dr[i] = debug.Db[i];
        state->Dr[6] = debug.Dr6;
        state->Dr[7] = debug.Dr7;
    }

    private void FetchFpu(CpuState* state)
    {
        KvmFpu fpu;
        _file.Call(KvmIoctl.GetFpu, &fpu, "KVM_GET_FPU");
        int top = (fpu.Fsw >> 11) & 7;
        for (int i = 0; i < 8; i++)
        {
            int physical = (top + i) & 7;
            state->Fpr[physical * 2] = fpu.Fpr[i * 2];
            state->Fpr[(physical * 2) + 1] = fpu.Fpr[(i * 2) + 1] & 0xFFFF;
        }
        int tags = 0;
        for (int i = 0; i < 8; i++)
        {
            if (((fpu.Ftwx >> i) & 1) == 0)
                tags |= 3 << (i * 2);
        }
        state->FpuTag = (ushort)tags;
        state->FpuControl = fpu.Fcw;
        state->FpuStatus = fpu.Fsw;
        state->FpuOpcode = fpu.LastOpcode;
        state->FpuIp = fpu.LastIp;
        state->FpuDp = fpu.LastDp;
        state->Mxcsr = fpu.Mxcsr;
        for (int i = 0; i < 32; i++)
            state->Xmm[i] = fpu.Xmm[i];
    }

    private void FetchMsrs(CpuState* state)
    {
        ulong* request = stackalloc ulong[1 + (2 * Msrs.Length)];
        request[0] = (ulong)_msrs.Length;
        var entries = (KvmMsrEntry*)(request + 1);
        for (int i = 0; i < _msrs.Length; i++)
            entries[i] = new KvmMsrEntry { Index = _msrs[i] };
        int read = _file.Call(KvmIoctl.GetMsrs, request, "KVM_GET_MSRS");
        for (int i = 0; i < read; i++)
            MsrSlot(state, _msrs[i]) = entries[i].Data;
    }

    /// <summary>Hands what was changed in <see cref="State"/> to the kernel; true when there was something.</summary>
    private bool WriteBack()
    {
        CpuState* state = _state, old = _state + 1;
        _halted = _apics is null && state->Activity == Activity.Halted;
        if (new ReadOnlySpan<byte>(state, sizeof(CpuState)).SequenceEqual(new ReadOnlySpan<byte>(old, sizeof(CpuState))))
            return false;
        WriteShared(state);
        if (!SameFpu(state, old))
            WriteFpu(state);
        WriteMsrs(state, old);
        if (_apics is not null)
            WriteResting(state, old);
        if (!new ReadOnlySpan<ulong>(state->Dr, 8).SequenceEqual(new ReadOnlySpan<ulong>(old->Dr, 8)))
        {
            var debug = new KvmDebugRegs { Dr6 = state->Dr[6], Dr7 = state->Dr[7] };
            for (int i = 0; i < 4; i++)
                debug.Db[i] = state->Dr[i];
            _file.Call(KvmIoctl.SetDebugRegs, &debug, "KVM_SET_DEBUGREGS");
        }
        *old = *state;
        return true;
    }

    private void WriteShared(CpuState* state)
    {
        ref var regs = ref _run->Sync.Regs;
        ulong* gpr = state->Gpr;
        (regs.Rax, regs.Rcx, regs.Rdx, regs.Rbx) = (gpr[0], gpr[1], gpr[2], gpr[3]);
        (regs.Rsp, regs.Rbp, regs.Rsi, regs.Rdi) = (gpr[4], gpr[5], gpr[6], gpr[7]);
        for (int i = 0; i < 8; i++)
            _run->Sync.Regs.R8To15[i] = gpr[8 + i];
        regs.Rip = state->Rip;
        regs.Rflags = state->Rflags;
        _run->IfFlag = (state->Rflags & Eflags.IF) != 0 ? (byte)1 : (byte)0;
        ref var sregs = ref _run->Sync.Sregs;
        sregs.Es = ToKvm(state->Es);
        sregs.Cs = ToKvm(state->Cs);
        sregs.Ss = ToKvm(state->Ss);
        sregs.Ds = ToKvm(state->Ds);
        sregs.Fs = ToKvm(state->Fs);
        sregs.Gs = ToKvm(state->Gs);
        sregs.Ldt = ToKvm(state->Ldtr);
        sregs.Tr = ToKvm(state->Tr);
        if (TrWithoutBusy)
            sregs.Tr.Type &= 0xFD;
        sregs.Gdt = new KvmDtable { Base = state->Gdtr.Base, Limit = (ushort)state->Gdtr.Limit };
        sregs.Idt = new KvmDtable { Base = state->Idtr.Base, Limit = (ushort)state->Idtr.Limit };
        (sregs.Cr0, sregs.Cr2, sregs.Cr3, sregs.Cr4, sregs.Cr8) = (state->Cr0, state->Cr2, state->Cr3, state->Cr4, state->Cr8);
        sregs.Efer = state->Efer;
        sregs.ApicBase = state->ApicBase;
        for (int i = 0; i < 4; i++)
            _run->Sync.Sregs.InterruptBitmap[i] = 0;
        _apicBase = state->ApicBase;
        // Whoever changed the state has dealt with the events that belonged to the old one.
        ref var events = ref _run->Sync.Events;
        events.ExceptionInjected = events.ExceptionPending = events.InterruptInjected = events.NmiInjected = 0;
        events.InterruptShadow = state->Shadow switch
        {
            InterruptShadow.Sti => KvmConstants.ShadowSti,
            InterruptShadow.MovSs => KvmConstants.ShadowMovSs,
            _ => 0,
        };
        events.NmiMasked = state->NmiBlocked;
        _run->DirtyRegs = KvmConstants.SyncAll;
        // What the last exit said of it is void.
        _run->ReadyForInterruptInjection = 0;
    }

    private static bool SameFpu(CpuState* state, CpuState* old) =>
        new ReadOnlySpan<ulong>(state->Fpr, 16).SequenceEqual(new ReadOnlySpan<ulong>(old->Fpr, 16))
        && new ReadOnlySpan<ulong>(state->Xmm, 32).SequenceEqual(new ReadOnlySpan<ulong>(old->Xmm, 32))
        && (state->FpuControl, state->FpuStatus, state->FpuTag, state->FpuOpcode, state->FpuIp, state->FpuDp, state->Mxcsr)
            == (old->FpuControl, old->FpuStatus, old->FpuTag, old->FpuOpcode, old->FpuIp, old->FpuDp, old->Mxcsr);

    private void WriteFpu(CpuState* state)
    {
        var fpu = new KvmFpu
        {
            Fcw = state->FpuControl,
            Fsw = state->FpuStatus,
            LastOpcode = state->FpuOpcode,
            LastIp = state->FpuIp,
            LastDp = state->FpuDp,
            Mxcsr = state->Mxcsr,
        };
        int top = (state->FpuStatus >> 11) & 7;
        for (int i = 0; i < 8; i++)
        {
            int physical = (top + i) & 7;
            fpu.Fpr[i * 2] = state->Fpr[physical * 2];
            fpu.Fpr[(i * 2) + 1] = state->Fpr[(physical * 2) + 1];
            if (((state->FpuTag >> (i * 2)) & 3) != 3)
                fpu.Ftwx |= (byte)(1 << i);
        }
        for (int i = 0; i < 32; i++)
            fpu.Xmm[i] = state->Xmm[i];
        _file.Call(KvmIoctl.SetFpu, &fpu, "KVM_SET_FPU");
    }

    /// <summary>All but the time-stamp counter, which goes on with the host's: the guest sees the time that passed in the assist.</summary>
    private void WriteMsrs(CpuState* state, CpuState* old)
    {
        ulong* request = stackalloc ulong[3];
        foreach (uint index in _msrs)
        {
            if (index == TimeStamp || MsrSlot(state, index) == MsrSlot(old, index))
                continue;
            request[0] = 1;
            *(KvmMsrEntry*)(request + 1) = new KvmMsrEntry { Index = index, Data = MsrSlot(state, index) };
            _file.Call(KvmIoctl.SetMsrs, request, "KVM_SET_MSRS");
        }
    }
}
