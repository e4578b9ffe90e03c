using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

// Interrupts into the processor: injected when it can take them, else it exits as soon as it can.
internal sealed unsafe partial class WhpVcpu
{
    private bool _interruptLine;
    private bool _nmi;

    /// <summary>An event is half delivered: it stands in the pending-interruption register, and comes first when the processor runs.</summary>
    private bool _eventPending;

    /// <summary>Deliverability notifications that are set in the processor.</summary>
    private ulong _notifications;

    /// <summary>CR8 in the processor.</summary>
    private uint _cr8;

    public bool InterruptLine
    {
        get => _interruptLine;
        set
        {
            _interruptLine = value;
            if (_searching)
                _cpu.InterruptLine = value;
            if (_emulating && value != _searching)
                EndEmulation();
            // Another processor raised it.
            if (value && _executes)
                Cancel();
        }
    }

    public void PendNmi()
    {
        if (_apics is null)
            _nmi = true;
        else
            _apics.Request(new(WhvX64InterruptType.Nmi, _index));
    }

    public void ForgetEvents()
    {
        _nmi = _halted = false;
        if (_apic is not null)
            ResetApic(_apic);
    }

    private uint ExitCr8 => (_exit->VpContext.InstructionLengthAndCr8 & WhvBits.ExitCr8) >> 4;

    private bool Shadowed => _fetched ? _cpu.State->Shadow != InterruptShadow.None : Is(WhvBits.StateInterruptShadow);

    /// <summary>CR8 is the upper half of the machine's task priority register: whichever changed goes into the other.</summary>
    private void LoadTaskPriority()
    {
        uint cr8 = (uint)_cpu.Door.TaskPriority >> 4;
        if (cr8 == _cr8)
            return;
        _cr8 = cr8;
        _registers.Queue(WhvRegister.Cr8, cr8);
    }

    /// <inheritdoc cref="LoadTaskPriority"/>
    private void StoreTaskPriority()
    {
        uint cr8 = ExitCr8;
        if (cr8 == _cr8)
            return;
        _cr8 = cr8;
        _cpu.Door.TaskPriority = (byte)(cr8 << 4);
    }

    /// <summary>Ends a HLT if there is a reason.</summary>
    private bool Wake()
    {
        if (!_nmi && !(_interruptLine && (Flags & Eflags.IF) != 0))
            return false;
        _halted = false;
        if (_fetched)
            _cpu.State->Activity = Activity.Active;
        return true;
    }

    private void OfferEvents()
    {
        bool free = !_eventPending && !Shadowed;
        ulong wanted = 0;
        if (_nmi)
        {
            if (free && State->NmiBlocked == 0)
            {
                Inject(WhvX64Pending.Nmi, Vectors.NMI);
                _nmi = free = false;
            }
            else
            {
                wanted |= WhvBits.NotifyNmi;
            }
        }
        if (_interruptLine && free && (Flags & Eflags.IF) != 0)
        {
            Inject(WhvX64Pending.Interrupt, _cpu.Door.AcknowledgeInterrupt());
        }
        if (_interruptLine)
            wanted |= WhvBits.NotifyInterrupt;
        if ((wanted & ~_notifications) == 0)
            return;
        _notifications |= wanted;
        _registers.Queue(WhvRegister.DeliverabilityNotifications, _notifications);
    }

    private void Inject(WhvX64Pending type, byte vector) =>
        _registers.Queue(WhvRegister.PendingInterruption, WhvBits.PendingInterruption | ((ulong)type << 1) | ((ulong)vector << 16));

    /// <summary>Has the interpreter deliver the event whose delivery made the exit: only it reaches what lies in the event's way.</summary>
    private void DeliverPendingEvent()
    {
        ulong pending = _registers.Get(WhvRegister.PendingInterruption).Reg64;
        _registers.Queue(WhvRegister.PendingInterruption, 0);
        _eventPending = false;
        var kind = (WhvX64Pending)((pending & WhvBits.PendingInterruptionType) >> 1) switch
        {
            WhvX64Pending.Interrupt => EventKind.ExternalInterrupt,
            WhvX64Pending.Nmi => EventKind.Nmi,
            _ => EventKind.Exception,
        };
        uint? error = (pending & WhvBits.PendingDeliverErrorCode) != 0 ? (uint)(pending >> 32) : null;
        _cpu.Inject((byte)((pending & WhvBits.PendingInterruptionVector) >> 16), kind, error);
    }
}
