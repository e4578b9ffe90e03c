using Farm.Machine.Bus;
using Farm.Machine.Storage;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Ide;

/// <summary>
/// One ATA channel with up to two devices: the command block (1F0h-1F7h), the control block (3F6h) and INTRQ
/// (ATA/ATAPI-6, clauses 7 and 9). Both devices see each register write; the selected one answers.
/// </summary>
public sealed class AtaChannel : IPortDevice
{
    private readonly ushort _commandBlock;
    private readonly ushort _controlBlock;
    private readonly InterruptLine _interrupt;
    private readonly AtaDevice?[] _devices = new AtaDevice?[2];
    private readonly byte[] _absent = new byte[8];
    private AtaDeviceControl _control;
    private int _selected;

    /// <param name="name">ata0, ata1: the first half of its drives' names.</param>
    /// <param name="commandBlock">1F0h or 170h.</param>
    /// <param name="controlBlock">3F6h or 376h.</param>
    /// <param name="interrupt">INTRQ: a level, held until the status register is read.</param>
    public AtaChannel(string name, ushort commandBlock, ushort controlBlock, InterruptLine interrupt, IVirtualClock clock, ISectorEvents? events = null, AtaTiming? timing = null)
    {
        Name = name;
        _commandBlock = commandBlock;
        _controlBlock = controlBlock;
        _interrupt = interrupt;
        Clock = clock;
        Events = events;
        Timing = timing ?? AtaTiming.Default;
        Ports = [new PortRange(commandBlock, 1, 4), new PortRange((ushort)(commandBlock + 1), 7), new PortRange(controlBlock, 1)];
    }

    public string Name { get; }

    public IReadOnlyList<PortRange> Ports { get; }

    public AtaDevice? Master => _devices[0];

    public AtaDevice? Slave => _devices[1];

    /// <summary>The channel's bus master; null: the devices offer no DMA. Set it before the first reset.</summary>
    public IBusMasterDma? BusMaster { get; set; }

    internal IVirtualClock Clock { get; }

    internal ISectorEvents? Events { get; }

    internal AtaTiming Timing { get; }

    /// <summary>Connects a device as 0 (master) or 1 (slave).</summary>
    public void Attach(int position, AtaDevice device)
    {
        if (_devices[position] is not null)
            throw new InvalidOperationException($"{Name} has a device {position} already.");
        _devices[position] = device;
        device.Connect(this, position, $"{Name}-{(position == 0 ? "master" : "slave")}");
    }

    public void Reset()
    {
        _control = AtaDeviceControl.None;
        SelectDevice0();
        foreach (AtaDevice? device in _devices)
            device?.PowerOn();
        UpdateInterrupt();
    }

    /// <summary>The bus master calls this when the guest sets its Start bit.</summary>
    public void BusMasterStarted()
    {
        foreach (AtaDevice? device in _devices)
            device?.DmaAcknowledged();
    }

    public uint ReadPort(ushort port, int size)
    {
        if (port == _controlBlock)
            return ReadStatus(acknowledge: false);
        int register = port - _commandBlock;
        if (Empty)
            return size switch { 1 => 0xFF, 2 => 0xFFFF, _ => 0xFFFF_FFFF };
        AtaDevice? device = _devices[_selected];
        return register switch
        {
            0 => device?.ReadData(size) ?? 0,
            7 => ReadStatus(acknowledge: true),
            _ => device?.ReadRegister(register, (_control & AtaDeviceControl.HOB) != 0) ?? _absent[register],
        };
    }

    public void WritePort(ushort port, uint value, int size)
    {
        if (port == _controlBlock)
        {
            WriteControl((AtaDeviceControl)value);
            return;
        }
        int register = port - _commandBlock;
        if (register == 0)
        {
            _devices[_selected]?.WriteData(value, size);
            return;
        }
        _control &= ~AtaDeviceControl.HOB;
        if (register == 7)
        {
            WriteCommand((AtaCommand)value);
            return;
        }
        if (register == 6)
            _selected = (int)(value >> 4) & 1;
        foreach (AtaDevice? device in _devices)
            device?.WriteRegister(register, (byte)value);
        _absent[register] = register == 6 ? (byte)(value | 0xA0) : (byte)value;
        UpdateInterrupt();
    }

    internal void UpdateInterrupt() =>
        _interrupt.Set((_control & AtaDeviceControl.NIEN) == 0 && _devices[_selected] is { InterruptPending: true });

    /// <summary>Software reset and EXECUTE DEVICE DIAGNOSTIC leave device 0 selected.</summary>
    private void SelectDevice0()
    {
        _selected = 0;
        ResetAbsent();
    }

    /// <summary>
    /// What shows for an absent device beside a present one. The present one answers with its own copy of the task file and status 0
    /// (ATA/ATAPI-6, 9.16.1), and after a reset BIOSes take FFh in the cylinder registers for "none".
    /// </summary>
    private void ResetAbsent()
    {
        _absent[1] = 0;
        _absent[2] = _absent[3] = 1;
        _absent[4] = _absent[5] = 0xFF;
        _absent[6] = 0xA0;
    }

    private bool Empty => _devices[0] is null && _devices[1] is null;

    private byte ReadStatus(bool acknowledge)
    {
        if (_devices[_selected] is { } device)
        {
            if (acknowledge)
            {
                device.InterruptPending = false;
                UpdateInterrupt();
            }
            return (byte)device.Status;
        }
        return Empty ? (byte)0xFF : (byte)0;
    }

    private void WriteControl(AtaDeviceControl value)
    {
        AtaDeviceControl before = _control;
        _control = value;
        bool rising = (value & ~before & AtaDeviceControl.SRST) != 0;
        bool falling = (before & ~value & AtaDeviceControl.SRST) != 0;
        if (rising || falling)
        {
            SelectDevice0();
            foreach (AtaDevice? device in _devices)
                device?.SoftwareReset(asserted: rising);
        }
        UpdateInterrupt();
    }

    private void WriteCommand(AtaCommand command)
    {
        if ((_control & AtaDeviceControl.SRST) != 0)
            return;
        if (command == AtaCommand.ExecuteDeviceDiagnostic)
        {
            // Both devices execute it; device 0 reports, with the interrupt (ATA/ATAPI-6, 8.11).
            SelectDevice0();
            foreach (AtaDevice? device in _devices)
                device?.Diagnose();
        }
        else
        {
            _devices[_selected]?.WriteCommand(command);
        }
        UpdateInterrupt();
    }
}
