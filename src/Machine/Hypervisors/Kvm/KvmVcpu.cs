using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Kvm.Native;
using Tmds.Linux;

namespace Farm.Machine.Hypervisors.Kvm;

/// <summary>
/// A KVM vCPU: the run loop and its exits. The registers are beside, in KvmVcpu.State.cs, the time-stamp counter in KvmVcpu.Time.cs, the
/// kernel's local APIC in KvmVcpu.Apic.cs.
/// </summary>
internal sealed unsafe partial class KvmVcpu : IVcpu
{
    private const byte FromKick = 1, Completing = 4;
    private const int ImmediateShift = 8;
    private const int Kicks = (FromKick | KickSignal.FromTimer) << ImmediateShift;

    /// <summary>How long a run lasts, in nanoseconds, whose timer had fired before it began.</summary>
    private const long ShortestRun = 200_000;

    private readonly KvmFile _file;
    private readonly int _index;
    private readonly KvmSlots _slots;
    private readonly PhysicalMemory _memory;
    private readonly ICpuDoor _door;
    private readonly bool _realModeAllowed;
    private readonly nuint _runSize;
    private readonly byte[] _data = new byte[4096];
    private readonly KvmWriteQueue? _queued;
    private KvmRun* _run;
    private volatile int _thread;
    private int _timer = -1;
    private bool _running;

    /// <summary>The timer was set and nothing has run since.</summary>
    private bool _freshTimer;

    /// <summary>The last exit's port or MMIO access is complete only when the processor is entered again.</summary>
    private bool _accessPending;
    private bool _halted;
    private bool _nmi;

    /// <summary>As the local APIC has them.</summary>
    private ulong _apicBase, _cr8;
    private VcpuExitReason? _stop;

    /// <param name="apics">The kernel's local APICs; null: the machine's own are used.</param>
    public KvmVcpu(KvmFile system, KvmFile vm, int index, KvmSlots slots, PhysicalMemory memory, ICpuDoor door, PartitionOptions options, bool accelerated, int queuePage, KvmLocalApics? apics)
    {
        KickSignal.Ensure();
        _index = index;
        _apics = apics;
        _slots = slots;
        _memory = memory;
        _door = door;
        _realModeAllowed = options.RealModeAllowed;
        _file = vm.Of(vm.Call(KvmIoctl.CreateVcpu, index, "KVM_CREATE_VCPU"));
        _runSize = (nuint)system.Call(KvmIoctl.GetVcpuMmapSize, 0, "KVM_GET_VCPU_MMAP_SIZE");
        _run = (KvmRun*)_file.Map(_runSize, out int error);
        if (_run == null)
            throw new HostException($"KVM: mmap of the vCPU failed: {KvmFile.Describe(error)}.");
        _queued = queuePage > 0 ? new KvmWriteQueue(_run, queuePage) : null;
        _state = (CpuState*)NativeMemory.AllocZeroed(2, (nuint)sizeof(CpuState));
        var supported = KvmCpuid.Supported(system);
        KvmCpuid.Set(_file, options.CpuModel, (byte)index, 36, supported, KvmCpuid.HasUmip(supported));
        _msrs = KnownMsrs();
        var rate = accelerated ? AskTimeStampRate() : null;
        _movesTimeStamp = rate is not null;
        TimeStampRate = apics is null ? rate : null;
        _resetApic = apics is null ? null : NewApic();
        // The shared registers hold nothing before the first run.
        _file.Call(KvmIoctl.GetRegs, &_run->Sync.Regs, "KVM_GET_REGS");
        Know(KvmConstants.SyncAll);
        _apicBase = _run->Sync.Sregs.ApicBase;
    }

    public ulong Instructions => 0;

    /// <summary>Not known: the processor does not count for us.</summary>
    public ulong RealModeInstructions => 0;

    public VcpuExit Run(ulong budget)
    {
        EnterThread();
        _running = true;
        try
        {
            return Run();
        }
        finally
        {
            _running = false;
        }
    }

    private VcpuExit Run()
    {
        _stop = null;
        if (_freshTimer)
            AllowProgress();
        _freshTimer = false;
        _turnDue = Gate is not null && _index != 0;
        // What comes with each exit costs at each exit: on SVM all of it a third of the exit, the general registers alone a twentieth.
        // They also say whether a look at the mode is due, see LeftProtectedMode.
        _run->ValidRegs = !_realModeAllowed && MayLeaveProtectedMode ? KvmConstants.SyncAll : 0;
        while (true)
        {
            if (_apics is not null)
                PrepareAmongOthers(_apics);
            _slots.Apply();
            bool changed = _fetched && WriteBack();
            if (_halted)
            {
                if (!_nmi && !(InterruptLine && _run->IfFlag != 0))
                    return new(VcpuExitReason.Halted);
                _halted = false;
            }
            if (_nmi && _apics is not null)
                _file.Call(KvmIoctl.Nmi, 0, "KVM_NMI");
            _nmi = false;
            if (InterruptLine)
                OfferInterrupt();
            else
                _run->RequestInterruptWindow = 0;
            if (_apics is null)
                _run->Cr8 = _cr8 = (ulong)_door.TaskPriority >> 4;
            int result = _apics is null ? _file.Run() : RunGuest();
            Entered();
            if (result < 0)
            {
                if (result != -LibC.EINTR && result != -LibC.EAGAIN)
                    throw new HostException($"KVM: KVM_RUN failed: {KvmFile.Describe(-result)}{(changed ? " (after a change of its registers)" : "")}.");
                if (!KickPending)
                    continue;
                // Whoever takes the guest over hands it back within the same run: the kick stays for that.
                if (LeftProtectedMode)
                    return new(VcpuExitReason.RealModeEntered);
                Interlocked.And(ref _run->Head, ~Kicks);
                return new(VcpuExitReason.Kicked);
            }
            if (_run->ExitReason == KvmExit.Io)
                HandlePort();
            else if (HandleOther() is { } exit)
                return exit;
            if (_stop is { } stop)
                return new(stop);
            if (LeftProtectedMode)
                return new(VcpuExitReason.RealModeEntered);
        }
    }

    public void RequestStop(VcpuExitReason reason) => _stop ??= reason;

    public bool MayLeaveProtectedMode { get; set; } = true;

    public CodePosition Position
    {
        get
        {
            Know(KvmConstants.SyncRegs | KvmConstants.SyncSregs);
            return new(_run->Sync.Sregs.Cs.Selector, _run->Sync.Regs.Rip, _run->Sync.Sregs.Cs.Base + _run->Sync.Regs.Rip);
        }
    }

    /// <summary>There is nothing to limit: the timer's kick ends the run.</summary>
    public void LimitTo(ulong instructions)
    {
    }

    public void KickAfter(long nanoseconds)
    {
        // While it runs, on its own thread, another processor's may call.
        if (!_running)
            EnterThread();
        _freshTimer = true;
        KickSignal.SetTimer(_timer, nanoseconds);
    }

    public IReadOnlyList<(ulong From, ulong To)> LastBranches() => [];

    public void Kick()
    {
        Interlocked.Or(ref _run->Head, FromKick << ImmediateShift);
        if (_thread is not 0 and var thread)
            KickSignal.Send(thread);
    }

    public void Dispose()
    {
        if (_run == null)
            return;
        if (_timer >= 0)
        {
            KickSignal.SetTimer(_timer, 0);
            KickSignal.DeleteTimer(_timer);
        }
        _file.Unmap(_run, _runSize);
        _run = null;
        _file.Dispose();
        NativeMemory.Free(_state);
        NativeMemory.Free(_resetApic);
        _state = null;
    }

    /// <summary>The guest is in real mode where it may not be, and no event is half delivered: the assist can take it over.</summary>
    private bool LeftProtectedMode
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _run->ValidRegs != 0 && (_run->Sync.Sregs.Cr0 & ControlRegisters.Cr0PE) == 0
            && (_run->Sync.Events.ExceptionInjected | _run->Sync.Events.ExceptionPending | _run->Sync.Events.InterruptInjected | _run->Sync.Events.NmiInjected) == 0;
    }

    /// <summary>The timer signals one thread: it follows the machine if that moves to another.</summary>
    private void EnterThread()
    {
        int thread = KickSignal.ThreadId;
        if (thread == _thread)
            return;
        if (_timer >= 0)
            KickSignal.DeleteTimer(_timer);
        _timer = KickSignal.CreateTimer(thread, _run);
        _thread = thread;
    }

    /// <summary>
    /// A timer that fired on the way here must not end the run before it begins: on a busy host the guest would never get on. But once only for
    /// each time it is set: between a guest's traps it would fire on the way again and again, and what is due then would wait for long.
    /// </summary>
    private void AllowProgress()
    {
        const int fired = KickSignal.FromTimer << ImmediateShift;
        if ((Interlocked.And(ref _run->Head, ~fired) & fired) != 0)
            KickSignal.SetTimer(_timer, ShortestRun);
    }

    private bool KickPending => (Volatile.Read(ref _run->Head) & Kicks) != 0;

    /// <summary>Injects the pending external interrupt, or asks for an exit as soon as the guest can take it.</summary>
    private void OfferInterrupt()
    {
        if (_run->ReadyForInterruptInjection != 0)
        {
            uint vector = _door.AcknowledgeInterrupt();
            _file.Call(KvmIoctl.Interrupt, &vector, "KVM_INTERRUPT");
            _run->ReadyForInterruptInjection = 0;
        }
        _run->RequestInterruptWindow = InterruptLine ? (byte)1 : (byte)0;
    }

    private VcpuExit? HandleOther()
    {
        switch (_run->ExitReason)
        {
            case KvmExit.Mmio:
                HandleMmio();
                return null;
            case KvmExit.Hlt:
                _halted = true;
                return null;
            case KvmExit.IrqWindowOpen or KvmExit.Intr or KvmExit.SetTpr:
                return null;
            case KvmExit.IoapicEoi when _apics is not null:
                _apics.Ended?.Invoke(_run->EoiVector);
                return null;
            case KvmExit.Shutdown:
                ReloadPageTables();
                return new(VcpuExitReason.Shutdown);
            case KvmExit.InternalError when _run->SubError == KvmConstants.InternalErrorEmulation:
                return new(VcpuExitReason.EmulationFailure, FailedBytes());
            case KvmExit.InternalError:
                throw new HostException($"KVM: internal error {_run->SubError} ({KvmConstants.InternalError(_run->SubError)}) at {Position.Linear:X}h.");
            case KvmExit.FailEntry:
                throw new HostException($"KVM: the processor refused to enter the guest at {Position.Linear:X}h, hardware reason {_run->HardwareReason:X}h{(_run->HardwareReason == KvmConstants.InvalidGuestState ? " (it calls the guest's state invalid)" : "")}.");
            default:
                throw new HostException($"KVM: exit {(uint)_run->ExitReason} (hardware reason {_run->HardwareReason:X}h), which nothing asked for.");
        }
    }

    /// <summary>
    /// On SVM the kernel answers a shutdown by clearing the VMCB; the nested page table's root is put there again only when the MMU's
    /// context changes, which any change of CR0 through KVM_SET_SREGS brings about. Without it the processor never gets on.
    /// </summary>
    private void ReloadPageTables()
    {
        Know(KvmConstants.SyncSregs);
        KvmSregs sregs = _run->Sync.Sregs;
        sregs.Cr0 = (sregs.Cr0 | ControlRegisters.Cr0CD) ^ ControlRegisters.Cr0NW;
        _file.Call(KvmIoctl.SetSregs, &sregs, "KVM_SET_SREGS");
        sregs = _run->Sync.Sregs;
        _file.Call(KvmIoctl.SetSregs, &sregs, "KVM_SET_SREGS");
    }

    private byte[]? FailedBytes()
    {
        bool known = _run->DataCount >= 3 && (_run->EmulationFlags & KvmConstants.EmulationFlagBytes) != 0;
        return known ? new Span<byte>(_run->InstructionBytes, Math.Min((int)_run->InstructionSize, 15)).ToArray() : null;
    }

    private void HandlePort()
    {
        int size = _run->IoSize;
        ushort port = _run->IoPort;
        byte* shared = (byte*)_run + _run->IoDataOffset;
        bool read = _run->IoDirection == 0;
        if (_run->IoCount != 1)
        {
            HandleString(port, size, (int)Math.Min(_run->IoCount, (uint)(_data.Length / size)), shared, read);
        }
        else if (read)
        {
            Put(shared, _door.ReadPort(port, size), size);
            _accessPending = true;
        }
        else
        {
            uint value = Get(shared, size);
            _accessPending = true;
            _door.WritePort(port, value, size);
        }
    }

    /// <summary>INS and OUTS: the kernel gives as many of a REP as lie in one page.</summary>
    private void HandleString(ushort port, int size, int count, byte* shared, bool read)
    {
        if (read)
        {
            for (int i = 0; i < count; i++, shared += size)
                Put(shared, _door.ReadPort(port, size), size);
            _accessPending = true;
            return;
        }
        // The shared page may be used again during the calls: a look at the state completes the access.
        new Span<byte>(shared, count * size).CopyTo(_data);
        _accessPending = true;
        fixed (byte* data = _data)
        {
            for (int i = 0; i < count; i++)
                _door.WritePort(port, Get(data + (i * size), size), size);
        }
    }

    private static uint Get(byte* at, int size) => size == 1 ? *at : size == 2 ? *(ushort*)at : *(uint*)at;

    private static void Put(byte* at, uint value, int size)
    {
        if (size == 1)
            *at = (byte)value;
        else if (size == 2)
            *(ushort*)at = (ushort)value;
        else
            *(uint*)at = value;
    }

    private void HandleMmio()
    {
        ulong address = _run->MmioAddress;
        int length = (int)Math.Min(_run->MmioLength, 8);
        bool write = _run->MmioIsWrite != 0;
        ulong value = 0;
        if (write)
        {
            value = *(ulong*)_run->MmioData;
            _accessPending = true;
            KvmWriteQueue.Write(_door, address, value, length);
            return;
        }
        for (int done = 0; done < length;)
        {
            int size = KvmWriteQueue.Piece(length - done);
            value |= (_door.ReadMmio(address + (ulong)done, size) & (ulong.MaxValue >> (64 - (8 * size)))) << (8 * done);
            done += size;
        }
        *(ulong*)_run->MmioData = value;
        _accessPending = true;
    }

    /// <summary>Lets the kernel finish the instruction of the last port or MMIO access, without running the guest any further.</summary>
    private void CompleteAccess()
    {
        while (_accessPending)
        {
            Interlocked.Or(ref _run->Head, Completing << ImmediateShift);
            int result = _file.Try(KvmIoctl.Run);
            Interlocked.And(ref _run->Head, ~(Completing << ImmediateShift));
            Entered();
            if (result < 0)
            {
                if (result != -LibC.EINTR && result != -LibC.EAGAIN)
                    throw new HostException($"KVM: completing an access failed: {KvmFile.Describe(-result)}.");
                continue;
            }
            // Another part of the same instruction; anything else comes up again when the guest runs.
            if (_run->ExitReason is KvmExit.Io)
                HandlePort();
            else if (_run->ExitReason is KvmExit.Mmio)
                HandleMmio();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Entered()
    {
        _accessPending = false;
        _fetched = false;
        _known = _run->ValidRegs;
        _run->DirtyRegs = 0;
        // Where the local APIC is the machine's, these two of its registers are the kernel's.
        if (_apics is null && _run->ApicBase != _apicBase)
        {
            _apicBase = _run->ApicBase;
            _door.SetApicBase(_apicBase);
        }
        if (_apics is null && _run->Cr8 != _cr8)
        {
            _cr8 = _run->Cr8;
            _door.TaskPriority = (byte)(_cr8 << 4);
        }
        _queued?.Drain(_door);
    }
}
