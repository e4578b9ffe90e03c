using Farm.Machine.Bus;
using Farm.Machine.Storage;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Floppy;

/// <summary>
/// Intel 82077AA floppy disk controller (data sheet 290166), compatible with the NEC 765: registers 3F0h-3F5h and 3F7h, command,
/// execution and result phase, DMA and programmed transfers. This part: the registers, the phases, reset.
/// </summary>
/// <remarks>
/// Two liberties, because the Bochs BIOS never programs a data rate and never seeks. Until the guest has programmed a rate the
/// controller reads at the medium's own; afterwards a wrong rate finds no address mark, which is how drivers tell formats apart. Reads
/// and writes move the head to the cylinder they name, as with implied seek (CONFIGURE, EIS), whether it is on or not.
/// </remarks>
public sealed partial class FloppyController : IPortDevice
{
    private const ushort Base = 0x3F0;

    private readonly InterruptLine _interrupt;
    private readonly IDmaChannel _dma;
    private readonly IVirtualClock _clock;
    private readonly ISectorEvents? _events;
    private readonly FloppyTiming _timing;
    private readonly FloppyDrive?[] _drives = new FloppyDrive?[4];
    private readonly string[] _units = ["fd0", "fd1", "fd2", "fd3"];

    private readonly byte[] _command = new byte[9];
    private readonly byte[] _result = new byte[10];
    private readonly byte[] _fifo = new byte[1024];
    private Phase _phase;
    private int _commandLength;
    private int _received;
    private int _resultLength;
    private int _resultRead;
    private bool _interruptPending;

    private DigitalOutput _output;
    private byte _tapeDrive;
    private byte _dataRate;
    private bool _rateProgrammed;

    private enum Phase
    {
        Reset,
        Command,
        Execution,
        Result,
    }

    /// <param name="interrupt">INT: a level, held until the result is fetched (IRQ 6).</param>
    /// <param name="dma">DRQ/DACK of 8237 channel 2.</param>
    /// <param name="drives">Drive 0 and 1 (A and B); null: none connected.</param>
    public FloppyController(InterruptLine interrupt, IDmaChannel dma, IVirtualClock clock, IReadOnlyList<FloppyDrive?> drives, ISectorEvents? events = null, FloppyTiming? timing = null)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(drives.Count, 2);
        _interrupt = interrupt;
        _dma = dma;
        _clock = clock;
        _events = events;
        _timing = timing ?? FloppyTiming.Default;
        _step = clock.CreateTimer("fdc", OnStep);
        _resetTimer = clock.CreateTimer("fdc reset", _ => ResetDone());
        for (int i = 0; i < 4; i++)
        {
            int drive = i;
            _seeks[i] = new SeekState(clock.CreateTimer($"fd{i} seek", _ => SeekDone(drive)));
            if (i >= drives.Count || drives[i] is not { } attached)
                continue;
            _drives[i] = attached;
            attached.MediumChanged = medium => _events?.MediumChanged(_units[drive], medium);
        }
        Reset();
    }

    public string Name => "82077AA floppy controller";

    /// <summary>3F6h belongs to the ATA channel.</summary>
    public IReadOnlyList<PortRange> Ports { get; } = [new PortRange(Base, 6), new PortRange(Base + 7, 1)];

    public FloppyDrive? Drive(int index) => _drives[index];

    private FloppyDrive? Selected => _drives[(int)(_output & DigitalOutput.DriveSelect)];

    public void Reset()
    {
        _output = DigitalOutput.None;
        _tapeDrive = 0;
        _dataRate = 2;
        _rateProgrammed = false;
        _stepRate = 0;
        _nonDma = false;
        _headLoad = 0;
        _perpendicular = 0;
        _locked = false;
        _seekUsed = false;
        EnterReset();
    }

    public uint ReadPort(ushort port, int size) => (port - Base) switch
    {
        0 => StatusA(),
        1 => StatusB(),
        2 => (byte)_output,
        3 => _tapeDrive,
        4 => (byte)Status(),
        5 => ReadFifo(),
        7 => Selected is { DiskChanged: true } ? 0x80u : 0,
        _ => 0xFF,
    };

    public void WritePort(ushort port, uint value, int size)
    {
        switch (port - Base)
        {
            case 2:
                WriteDigitalOutput((DigitalOutput)value);
                break;
            case 3:
                _tapeDrive = (byte)(value & 3);
                break;
            case 4:
                WriteDataRateSelect((byte)value);
                break;
            case 5:
                WriteFifo((byte)value);
                break;
            case 7:
                _dataRate = (byte)(value & 3);
                _rateProgrammed = true;
                break;
        }
    }

    /// <summary>SRA in PS/2 mode; inputs of the selected drive are active low.</summary>
    private byte StatusA()
    {
        int value = 0x40 | 0x04; // second drive line and index inactive
        if (_interruptPending)
            value |= 0x80;
        if (Selected is not { Cylinder: 0 })
            value |= 0x10;
        if (Selected is not { WriteProtected: true })
            value |= 0x02;
        if ((_commandHead & 1) != 0)
            value |= 0x08;
        return (byte)value;
    }

    private byte StatusB()
    {
        int value = 0xC0;
        if ((_output & DigitalOutput.DriveSelect) == 0)
            value |= 0x20;
        if ((_output & DigitalOutput.Motor1) != 0)
            value |= 0x02;
        if ((_output & DigitalOutput.Motor0) != 0)
            value |= 0x01;
        return (byte)value;
    }

    private MainStatus Status()
    {
        MainStatus status = MainStatus.None;
        for (int i = 0; i < 4; i++)
        {
            if (_seeks[i].Busy)
                status |= (MainStatus)(1 << i);
        }
        return status | _phase switch
        {
            Phase.Reset => MainStatus.None,
            Phase.Command => MainStatus.RequestForMaster | (_received > 0 ? MainStatus.CommandBusy : 0),
            Phase.Result => MainStatus.RequestForMaster | MainStatus.DataToHost | MainStatus.CommandBusy,
            _ => MainStatus.CommandBusy | (_nonDma ? MainStatus.NonDma : 0) | (_fifoState switch
            {
                FifoState.ToHost => MainStatus.RequestForMaster | MainStatus.DataToHost,
                FifoState.FromHost => MainStatus.RequestForMaster,
                _ => MainStatus.None,
            }),
        };
    }

    private void WriteDigitalOutput(DigitalOutput value)
    {
        DigitalOutput before = _output;
        _output = value;
        if ((value & DigitalOutput.NotReset) == 0)
            EnterReset();
        else if ((before & DigitalOutput.NotReset) == 0)
            LeaveReset();
        UpdateInterrupt();
    }

    private void WriteDataRateSelect(byte value)
    {
        _dataRate = (byte)(value & 3);
        _rateProgrammed = true;
        if ((value & 0x80) == 0)
            return;
        EnterReset();
        if ((_output & DigitalOutput.NotReset) != 0)
            LeaveReset(); // the reset bit clears itself
    }

    private void EnterReset()
    {
        _phase = Phase.Reset;
        _received = 0;
        _resetTimer.Disarm();
        _step.Disarm();
        _fifoState = FifoState.Idle;
        _resetStatuses = 0;
        foreach (SeekState seek in _seeks)
        {
            seek.Timer.Disarm();
            seek.Busy = false;
            seek.Pending = null;
            seek.Cylinder = 0;
        }
        _configuration = (byte)(_locked ? _configuration & 0x2F : 0x20);
        if (!_locked)
            _precompensation = 0;
        SetInterrupt(false);
    }

    private void LeaveReset()
    {
        _phase = Phase.Command;
        _received = 0;
        _resetTimer.Arm(_clock.Now + _timing.ResetNs);
    }

    /// <summary>Polling finds the ready lines of all four drives changed and interrupts (82077AA, 5.2.5.1).</summary>
    private void ResetDone()
    {
        if (_phase == Phase.Reset)
            return;
        _resetStatuses = 4;
        SetInterrupt(true);
    }

    private byte ReadFifo()
    {
        if (_phase == Phase.Execution && _fifoState == FifoState.ToHost)
            return ReadData();
        if (_phase != Phase.Result)
            return 0xFF;
        SetInterrupt(false);
        byte value = _result[_resultRead++];
        if (_resultRead == _resultLength)
            EnterCommandPhase();
        return value;
    }

    private void WriteFifo(byte value)
    {
        if (_phase == Phase.Execution && _fifoState == FifoState.FromHost)
        {
            WriteData(value);
            return;
        }
        if (_phase != Phase.Command)
            return;
        if (_received == 0)
            _commandLength = LengthOf(value);
        _command[_received++] = value;
        if (_received < _commandLength)
            return;
        _received = 0;
        Execute();
    }

    private void EnterCommandPhase()
    {
        _phase = Phase.Command;
        _received = 0;
        RaiseNextSeek();
    }

    private void EnterResultPhase(ReadOnlySpan<byte> result, bool interrupt)
    {
        result.CopyTo(_result);
        _resultLength = result.Length;
        _resultRead = 0;
        _phase = Phase.Result;
        _fifoState = FifoState.Idle;
        if (interrupt)
            SetInterrupt(true);
    }

    private void SetInterrupt(bool pending)
    {
        _interruptPending = pending;
        UpdateInterrupt();
    }

    private void UpdateInterrupt() => _interrupt.Set(_interruptPending && (_output & DigitalOutput.DmaGate) != 0);
}
