using Farm.Machine.Bus;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Apic;

/// <summary>
/// The local APIC of a P6-family processor (Intel SDM vol. 3, chapter 11). After reset LINT0 of the bootstrap processor is open as
/// ExtINT (virtual wire), as the payload BIOSes expect to find it. The timer runs on guest time at <see cref="BusClock"/>. Its registers
/// show at <see cref="Base"/> to its own processor alone; RAM that already lies there wins.
/// </summary>
public sealed class LocalApic : IMmioDevice
{
    public const ulong DefaultBase = 0xFEE0_0000;
    public const ulong Length = 0x1000;

    private const uint VersionRegister = 0x0005_0014;
    private const uint SoftwareEnable = 0x100;
    private const int LowestLegalVector = 16;

    private readonly IVirtualClock _clock;
    private readonly ILocalApicPins _pins;
    private readonly ApicBus _bus;
    private readonly Func<byte> _external;
    private readonly ApicTimer _timer;
    private readonly bool _bootstrap;
    private readonly uint[] _lvt = new uint[6];
    private readonly ulong[] _accepted = new ulong[256];
    private VectorSet _irr;
    private VectorSet _isr;
    private VectorSet _tmr;
    private ApicBase _base;
    private byte _taskPriority;
    private byte _logicalId;
    private bool _cluster;
    private uint _spurious;
    private uint _commandLow;
    private uint _commandHigh;
    private ApicErrors _errors;
    private ApicErrors _visibleErrors;
    private bool _lint0;
    private bool _lint1;
    private bool _extIntMessage;

    /// <param name="id">Initial APIC identity; 0 is the bootstrap processor.</param>
    /// <param name="external">INTA of the 8259 pair.</param>
    public LocalApic(byte id, ApicBus bus, IVirtualClock clock, ILocalApicPins pins, Func<byte> external)
    {
        InitialId = id;
        _bootstrap = id == 0;
        _bus = bus;
        _clock = clock;
        _pins = pins;
        _external = external;
        _timer = new ApicTimer($"local APIC {id} timer", clock, TimerExpired);
        bus.Add(this);
        Reset();
    }

    /// <summary>Timer input before division: 100 MHz.</summary>
    public static ClockRate BusClock => new(1, 10);

    public string Name => "local APIC";

    public byte InitialId { get; }

    public byte Id { get; private set; }

    /// <summary>IA32_APIC_BASE.EN.</summary>
    public bool Enabled => (_base & ApicBase.Enable) != 0;

    public bool SoftwareEnabled => (_spurious & SoftwareEnable) != 0;

    /// <summary>Physical address of the registers.</summary>
    public ulong Base => (ulong)(_base & ApicBase.AddressMask);

    /// <summary>Interrupts that the processor has taken from here, by vector; those of the 8259 are not among them.</summary>
    public IReadOnlyList<ulong> Accepted => _accepted;

    /// <summary>IA32_APIC_BASE (MSR 1Bh). Clearing EN resets the APIC and lets INTR through to the processor.</summary>
    public ulong BaseMsr
    {
        get => (ulong)_base;
        set
        {
            bool was = Enabled;
            _base = (ApicBase)value & (ApicBase.Enable | ApicBase.AddressMask) | (_bootstrap ? ApicBase.Bootstrap : 0);
            if (was && !Enabled)
                ResetState();
            UpdateInterrupt();
        }
    }

    /// <summary>TPR; CR8 is its upper four bits.</summary>
    public byte TaskPriority
    {
        get => _taskPriority;
        set
        {
            _taskPriority = value;
            UpdateInterrupt();
        }
    }

    /// <summary>PPR.</summary>
    public byte ProcessorPriority
    {
        get
        {
            int inService = Math.Max(0, _isr.Highest) & 0xF0;
            return (byte)((_taskPriority & 0xF0) >= inService ? _taskPriority : inService);
        }
    }

    /// <summary>Power-on and RESET.</summary>
    public void Reset()
    {
        _base = (ApicBase)DefaultBase | ApicBase.Enable | (_bootstrap ? ApicBase.Bootstrap : 0);
        Id = InitialId;
        ResetState();
        UpdateInterrupt();
    }

    /// <summary>INIT: everything but the identity and the base address.</summary>
    public void InitReset()
    {
        ResetState();
        UpdateInterrupt();
    }

    /// <summary>INTA: the vector for the processor. The spurious vector when the request went away.</summary>
    public byte Acknowledge()
    {
        int vector = Deliverable();
        if (vector >= 0)
        {
            _irr.Set(vector, false);
            _isr.Set(vector, true);
            _accepted[vector]++;
            UpdateInterrupt();
            return (byte)vector;
        }
        if (ExternalPending)
        {
            _extIntMessage = false;
            byte external = _external();
            UpdateInterrupt();
            return external;
        }
        UpdateInterrupt();
        return (byte)_spurious;
    }

    public ulong ReadMmio(ulong address, int size)
    {
        int offset = (int)(address & (Length - 1));
        ulong value = (offset & 0xC) == 0 ? Read(offset & ~3) : 0;
        return value >> (8 * (offset & 3));
    }

    public void WriteMmio(ulong address, ulong value, int size)
    {
        int offset = (int)(address & (Length - 1));
        // Registers are 32 bits wide on 16-byte boundaries; other accesses are undefined and dropped.
        if (size >= 4 && (offset & 0xF) == 0)
            Write(offset, (uint)value);
    }

    internal void SetLint0(bool level)
    {
        if (level == _lint0)
            return;
        _lint0 = level;
        LocalInput(Slot(ApicRegister.LvtLint0), level);
        UpdateInterrupt();
    }

    internal void SetLint1(bool level)
    {
        if (level == _lint1)
            return;
        _lint1 = level;
        LocalInput(Slot(ApicRegister.LvtLint1), level);
        UpdateInterrupt();
    }

    internal bool MatchesLogical(byte destination) => _cluster
        ? destination >> 4 is var cluster && (cluster == _logicalId >> 4 || cluster == 15) && (destination & _logicalId & 0x0F) != 0
        : (destination & _logicalId) != 0;

    /// <summary>A message from the APIC bus that addresses this processor.</summary>
    internal void Deliver(ApicMessage message)
    {
        switch (message.Mode)
        {
            case DeliveryMode.Fixed or DeliveryMode.LowestPriority:
                if (SoftwareEnabled)
                    Accept(message.Vector, message.Level);
                break;
            case DeliveryMode.Smi:
                _pins.Smi();
                break;
            case DeliveryMode.Nmi:
                _pins.Nmi();
                break;
            case DeliveryMode.Init:
                // The level de-assert form only synchronises arbitration identities.
                if (!message.Level)
                {
                    InitReset();
                    _pins.Init();
                }
                break;
            case DeliveryMode.Startup:
                _pins.Startup(message.Vector);
                break;
            case DeliveryMode.ExtInt:
                _extIntMessage = true;
                break;
        }
        UpdateInterrupt();
    }

    internal uint Read(int offset)
    {
        switch (offset)
        {
            case ApicRegister.Id:
                return (uint)Id << 24;
            case ApicRegister.Version:
                return VersionRegister;
            case ApicRegister.TaskPriority:
                return _taskPriority;
            case ApicRegister.ArbitrationPriority or ApicRegister.ProcessorPriority:
                return ProcessorPriority;
            case ApicRegister.LogicalDestination:
                return (uint)_logicalId << 24;
            case ApicRegister.DestinationFormat:
                return _cluster ? 0x0FFF_FFFFu : 0xFFFF_FFFFu;
            case ApicRegister.SpuriousVector:
                return _spurious;
            case >= ApicRegister.InService and < ApicRegister.TriggerMode:
                return _isr.Word(offset >> 4);
            case >= ApicRegister.TriggerMode and < ApicRegister.Request:
                return _tmr.Word(offset >> 4);
            case >= ApicRegister.Request and < ApicRegister.ErrorStatus:
                return _irr.Word(offset >> 4);
            case ApicRegister.ErrorStatus:
                return (uint)_visibleErrors;
            case ApicRegister.CommandLow:
                return _commandLow;
            case ApicRegister.CommandHigh:
                return _commandHigh;
            case >= ApicRegister.LvtTimer and <= ApicRegister.LvtError:
                return _lvt[Slot(offset)];
            case ApicRegister.InitialCount:
                return _timer.InitialCount;
            case ApicRegister.CurrentCount:
                return _timer.CurrentCount;
            case ApicRegister.DivideConfiguration:
                return _timer.DivideConfiguration;
            case ApicRegister.Eoi:
                return 0;
            default:
                Error(ApicErrors.IllegalRegister);
                return 0;
        }
    }

    internal void Write(int offset, uint value)
    {
        switch (offset)
        {
            case ApicRegister.Id:
                Id = (byte)(value >> 24);
                break;
            case ApicRegister.TaskPriority:
                _taskPriority = (byte)value;
                break;
            case ApicRegister.Eoi:
                EndOfInterrupt();
                break;
            case ApicRegister.LogicalDestination:
                _logicalId = (byte)(value >> 24);
                break;
            case ApicRegister.DestinationFormat:
                _cluster = value >> 28 == 0;
                break;
            case ApicRegister.SpuriousVector:
                WriteSpurious(value);
                break;
            case ApicRegister.ErrorStatus:
                _visibleErrors = _errors;
                _errors = 0;
                break;
            case ApicRegister.CommandLow:
                _commandLow = value & 0x000C_CFFF;
                SendCommand();
                break;
            case ApicRegister.CommandHigh:
                _commandHigh = value & 0xFF00_0000;
                break;
            case >= ApicRegister.LvtTimer and <= ApicRegister.LvtError:
                WriteLvt(Slot(offset), value);
                break;
            case ApicRegister.InitialCount:
                _timer.InitialCount = value;
                break;
            case ApicRegister.DivideConfiguration:
                _timer.DivideConfiguration = value;
                break;
            case ApicRegister.CurrentCount or ApicRegister.ProcessorPriority or ApicRegister.ArbitrationPriority or ApicRegister.Version:
                break;
            default:
                Error(ApicErrors.IllegalRegister);
                break;
        }
        UpdateInterrupt();
    }

    private static int Slot(int offset) => (offset - ApicRegister.LvtTimer) >> 4;

    private static DeliveryMode Mode(uint entry) => (DeliveryMode)(entry >> 8 & 7);

    private bool ExternalPending => !Enabled ? _lint0 : _extIntMessage || _lint0 && Mode(_lvt[Slot(ApicRegister.LvtLint0)]) == DeliveryMode.ExtInt
        && (_lvt[Slot(ApicRegister.LvtLint0)] & (uint)Lvt.Masked) == 0;

    private void ResetState()
    {
        _irr = default;
        _isr = default;
        _tmr = default;
        _taskPriority = 0;
        _logicalId = 0;
        _cluster = false;
        _spurious = 0xFF;
        _commandLow = _commandHigh = 0;
        _errors = _visibleErrors = 0;
        _extIntMessage = false;
        Array.Fill(_lvt, (uint)Lvt.Masked);
        if (_bootstrap)
            _lvt[Slot(ApicRegister.LvtLint0)] = (uint)DeliveryMode.ExtInt << 8;
        _timer.Reset();
    }

    private void WriteSpurious(uint value)
    {
        _spurious = value & 0x1FF;
        if (SoftwareEnabled)
            return;
        for (int i = 0; i < _lvt.Length; i++)
            _lvt[i] |= (uint)Lvt.Masked;
    }

    private void WriteLvt(int slot, uint value)
    {
        const uint common = (uint)(Lvt.VectorMask | Lvt.Masked);
        uint writable = slot switch
        {
            0 => common | (uint)Lvt.Periodic,
            1 or 2 => common | (uint)Lvt.DeliveryMask,
            3 or 4 => common | (uint)(Lvt.DeliveryMask | Lvt.PolarityLow | Lvt.Level),
            _ => common,
        };
        uint kept = _lvt[slot] & (uint)Lvt.RemoteIrr;
        _lvt[slot] = value & writable | kept | (SoftwareEnabled ? 0 : (uint)Lvt.Masked);
        if (slot == 0)
            _timer.Periodic = (value & (uint)Lvt.Periodic) != 0;
        // A level-triggered local input that is already up asks again when it is unmasked.
        if (slot == Slot(ApicRegister.LvtLint0) && _lint0 || slot == Slot(ApicRegister.LvtLint1) && _lint1)
        {
            if ((_lvt[slot] & (uint)Lvt.Level) != 0)
                LocalInput(slot, true);
        }
    }

    /// <summary>An edge on LINT0 or LINT1.</summary>
    private void LocalInput(int slot, bool level)
    {
        uint entry = _lvt[slot];
        if (!level || !Enabled || (entry & (uint)Lvt.Masked) != 0)
            return;
        switch (Mode(entry))
        {
            case DeliveryMode.Fixed:
                bool levelTriggered = (entry & (uint)Lvt.Level) != 0 && slot == Slot(ApicRegister.LvtLint0);
                if (levelTriggered && (entry & (uint)Lvt.RemoteIrr) != 0)
                    break;
                if (levelTriggered)
                    _lvt[slot] |= (uint)Lvt.RemoteIrr;
                Accept((byte)entry, levelTriggered);
                break;
            case DeliveryMode.Nmi:
                _pins.Nmi();
                break;
            case DeliveryMode.Smi:
                _pins.Smi();
                break;
            case DeliveryMode.Init:
                InitReset();
                _pins.Init();
                break;
        }
    }

    private void TimerExpired()
    {
        uint entry = _lvt[Slot(ApicRegister.LvtTimer)];
        if ((entry & (uint)Lvt.Masked) != 0)
            return;
        Accept((byte)entry, level: false);
        UpdateInterrupt();
    }

    private void Accept(byte vector, bool level)
    {
        if (vector < LowestLegalVector)
        {
            Error(ApicErrors.ReceiveIllegalVector);
            return;
        }
        _irr.Set(vector, true);
        _tmr.Set(vector, level);
    }

    private void EndOfInterrupt()
    {
        int vector = _isr.Highest;
        if (vector < 0)
            return;
        _isr.Set(vector, false);
        if (!_tmr[vector])
            return;
        int lint0 = Slot(ApicRegister.LvtLint0);
        if ((_lvt[lint0] & (uint)Lvt.RemoteIrr) != 0 && (byte)_lvt[lint0] == vector)
        {
            _lvt[lint0] &= ~(uint)Lvt.RemoteIrr;
            if (_lint0)
                LocalInput(lint0, true);
        }
        _bus.BroadcastEoi((byte)vector);
    }

    private void SendCommand()
    {
        const uint assert = 0x4000, levelTriggered = 0x8000, logical = 0x800;
        var mode = Mode(_commandLow);
        byte vector = (byte)_commandLow;
        if (mode is DeliveryMode.Fixed or DeliveryMode.LowestPriority && vector < LowestLegalVector)
        {
            Error(ApicErrors.SendIllegalVector);
            return;
        }
        if (mode is DeliveryMode.Reserved or DeliveryMode.ExtInt)
            return;
        bool deassert = mode == DeliveryMode.Init && (_commandLow & (assert | levelTriggered)) == levelTriggered;
        var message = new ApicMessage(mode, vector, (byte)(_commandHigh >> 24), (_commandLow & logical) != 0, Level: deassert);
        switch (_commandLow >> 18 & 3)
        {
            case 0:
                if (!_bus.Send(message))
                    Error(ApicErrors.SendAccept);
                break;
            case 1:
                // Only fixed interrupts may be sent to oneself (table 11-3).
                if (mode == DeliveryMode.Fixed)
                    Deliver(message);
                break;
            case 2:
                _bus.SendShorthand(message, this, includingSelf: mode is DeliveryMode.Fixed or DeliveryMode.LowestPriority or DeliveryMode.Nmi);
                break;
            default:
                _bus.SendShorthand(message, this, includingSelf: false);
                break;
        }
    }

    private void Error(ApicErrors error)
    {
        _errors |= error;
        uint entry = _lvt[Slot(ApicRegister.LvtError)];
        byte vector = (byte)entry;
        if ((entry & (uint)Lvt.Masked) == 0 && vector >= LowestLegalVector)
            Accept(vector, level: false);
    }

    /// <summary>The highest requested vector above the processor priority, or -1.</summary>
    private int Deliverable()
    {
        if (!Enabled || !SoftwareEnabled)
            return -1;
        int vector = _irr.Highest;
        return vector >= 0 && vector >> 4 > ProcessorPriority >> 4 ? vector : -1;
    }

    private void UpdateInterrupt() => _pins.SetInterrupt(Deliverable() >= 0 || ExternalPending);
}
