using System.Buffers.Binary;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Ide;

/// <summary>
/// What every device on an ATA channel has: the task file with its previous contents (48-bit addresses), status and error, the
/// sector buffer with its PIO handshake, and DMARQ.
/// </summary>
public abstract class AtaDevice
{
    protected const int BufferSize = 65536;

    private readonly byte[] _registers = new byte[8];
    private readonly byte[] _previous = new byte[8];
    private IClockTimer? _timer;
    private Action? _next;
    private Transfer _transfer;
    private int _position;
    private int _end;

    private enum Transfer
    {
        None,
        PioIn,
        PioOut,
        DmaIn,
        DmaOut,
    }

    /// <summary>Name of the drive in events: ata0-master.</summary>
    public string Unit { get; private set; } = "";

    public AtaStatus Status { get; protected set; } = AtaStatus.BSY;

    /// <summary>INTRQ of this device, before nIEN and selection.</summary>
    internal bool InterruptPending { get; set; }

    protected AtaChannel Channel { get; private set; } = null!;

    /// <summary>0 or 1.</summary>
    protected int Position { get; private set; }

    protected byte[] Buffer { get; } = new byte[BufferSize];

    protected byte Error { get; set; }

    protected byte Features => _registers[1];

    /// <summary>Sector Count; Interrupt Reason for packet devices.</summary>
    protected byte Count { get => _registers[2]; set => _registers[2] = value; }

    /// <summary>LBA Low, or Sector Number.</summary>
    protected byte LbaLow { get => _registers[3]; set => _registers[3] = value; }

    /// <summary>LBA Mid, Cylinder Low, or Byte Count Low.</summary>
    protected byte LbaMid { get => _registers[4]; set => _registers[4] = value; }

    /// <summary>LBA High, Cylinder High, or Byte Count High.</summary>
    protected byte LbaHigh { get => _registers[5]; set => _registers[5] = value; }

    /// <summary>Device, or Drive/Head.</summary>
    protected byte Device { get => _registers[6]; set => _registers[6] = value; }

    protected byte PreviousCount => _previous[2];

    /// <summary>LBA bits 47:24 as they were written first.</summary>
    protected long PreviousLba => (uint)(_previous[3] | (_previous[4] << 8) | (_previous[5] << 16));

    /// <summary>Puts a 48-bit address into both halves of the LBA registers.</summary>
    protected void SetAddress48(long lba)
    {
        for (int i = 0; i < 3; i++)
        {
            _registers[3 + i] = (byte)(lba >> (8 * i));
            _previous[3 + i] = (byte)(lba >> (24 + (8 * i)));
        }
    }

    /// <summary>What Status shows when a command is over without error.</summary>
    protected static AtaStatus Ready => AtaStatus.DRDY | AtaStatus.DSC;

    internal void Connect(AtaChannel channel, int position, string unit)
    {
        Channel = channel;
        Position = position;
        Unit = unit;
        _timer = channel.Clock.CreateTimer(unit, OnTimer);
        PowerOn();
    }

    internal byte ReadRegister(int register, bool highOrder) => register switch
    {
        1 => Error,
        6 => (byte)(Device | 0xA0),
        _ => highOrder && register <= 5 ? _previous[register] : _registers[register],
    };

    internal void WriteRegister(int register, byte value)
    {
        if ((Status & AtaStatus.BSY) != 0 && register != 6)
            return;
        _previous[register] = _registers[register];
        _registers[register] = value;
    }

    internal void WriteCommand(AtaCommand command)
    {
        if ((Status & AtaStatus.BSY) != 0 && command != AtaCommand.DeviceReset)
            return;
        Stop(); // a command during DRQ abandons the transfer
        Error = 0;
        Status = Ready;
        Execute(command);
    }

    internal uint ReadData(int size)
    {
        if (_transfer != Transfer.PioIn)
            return 0;
        size = Math.Max(size, 2); // a byte access moves a word all the same: the bus has 16 lines
        Span<byte> word = stackalloc byte[4];
        word.Clear();
        int run = Math.Min(size, _end - _position);
        Buffer.AsSpan(_position, run).CopyTo(word);
        _position += run;
        if (_position == _end)
        {
            _transfer = Transfer.None;
            Status &= ~AtaStatus.DRQ;
            DataInDone();
            Channel.UpdateInterrupt();
        }
        return BinaryPrimitives.ReadUInt32LittleEndian(word);
    }

    internal void WriteData(uint value, int size)
    {
        if (_transfer != Transfer.PioOut)
            return;
        Span<byte> word = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(word, value);
        int run = Math.Min(Math.Max(size, 2), _end - _position);
        word[..run].CopyTo(Buffer.AsSpan(_position));
        _position += run;
        if (_position == _end)
        {
            _transfer = Transfer.None;
            Status &= ~AtaStatus.DRQ;
            DataOutDone(_end);
            Channel.UpdateInterrupt();
        }
    }

    /// <summary>Hardware reset.</summary>
    internal void PowerOn()
    {
        SoftwareReset(asserted: true);
        RestoreDefaults();
        SoftwareReset(asserted: false);
    }

    /// <summary>SRST set (the device is busy for as long as it stays set) or cleared (it comes up with its signature).</summary>
    internal void SoftwareReset(bool asserted)
    {
        Stop();
        InterruptPending = false;
        Status = AtaStatus.BSY;
        if (!asserted)
            After(Channel.Timing.ResetNs, ResetDone);
    }

    internal void Diagnose()
    {
        SoftwareReset(asserted: true);
        After(Channel.Timing.ResetNs, DiagnosticDone);
    }

    internal void DmaAcknowledged()
    {
        if (_transfer is Transfer.DmaIn or Transfer.DmaOut && _next is null)
            After(Channel.Timing.SectorNs, DmaStep);
    }

    /// <summary>Executes a command. Status is ready, nothing is pending; ends in one of the states below.</summary>
    protected abstract void Execute(AtaCommand command);

    /// <summary>Puts the signature into the task file and returns the status after a reset.</summary>
    protected abstract AtaStatus SetSignature();

    /// <summary>Settings that only a hardware reset restores.</summary>
    protected abstract void RestoreDefaults();

    /// <summary>The host has read all that <see cref="OfferData"/> offered.</summary>
    protected abstract void DataInDone();

    /// <summary>The host has written all that <see cref="RequestData"/> asked for; it lies in the buffer.</summary>
    protected abstract void DataOutDone(int bytes);

    /// <summary>Puts the next piece of a DMA-in transfer into the buffer; 0: the transfer is over or failed (and said so).</summary>
    protected abstract int NextDmaIn();

    /// <summary>Size of the next piece of a DMA-out transfer; 0: the transfer is over or failed (and said so).</summary>
    protected abstract int NextDmaOut();

    /// <summary>Goes on after <paramref name="nanoseconds"/> with BSY set until then.</summary>
    protected void After(long nanoseconds, Action next)
    {
        Status |= AtaStatus.BSY;
        _next = next;
        _timer!.Arm(Channel.Clock.Now + nanoseconds);
    }

    /// <summary>Command over, INTRQ.</summary>
    protected void Complete()
    {
        Status = Ready;
        Interrupt();
    }

    /// <summary>Command over with ERR, INTRQ.</summary>
    protected void Fail(byte error)
    {
        Error = error;
        Status = Ready | AtaStatus.ERR;
        Interrupt();
    }

    protected void Fail(AtaError error) => Fail((byte)error);

    protected void Interrupt()
    {
        InterruptPending = true;
        Channel.UpdateInterrupt();
    }

    /// <summary>DRQ and INTRQ: the host may read the first <paramref name="bytes"/> of the buffer from <paramref name="offset"/> on.</summary>
    protected void OfferData(int bytes, int offset = 0)
    {
        _transfer = Transfer.PioIn;
        _position = offset;
        _end = offset + bytes;
        Status = Ready | AtaStatus.DRQ;
        Interrupt();
    }

    /// <summary>DRQ: the host may write <paramref name="bytes"/> into the buffer.</summary>
    protected void RequestData(int bytes, bool interrupt)
    {
        _transfer = Transfer.PioOut;
        _position = 0;
        _end = bytes;
        Status = Ready | AtaStatus.DRQ;
        if (interrupt)
            Interrupt();
    }

    /// <summary>DMARQ: pieces come from <see cref="NextDmaIn"/> or go to <see cref="DataOutDone"/> while the bus master runs.</summary>
    protected void StartDma(bool toMemory)
    {
        _transfer = toMemory ? Transfer.DmaIn : Transfer.DmaOut;
        _position = _end = 0;
        Status = Ready | AtaStatus.BSY;
        if (Channel.BusMaster is { Started: true })
            After(Channel.Timing.CommandNs, DmaStep);
    }

    private void DmaStep()
    {
        bool toMemory = _transfer == Transfer.DmaIn;
        Status = Ready | AtaStatus.BSY;
        if (_position == _end)
        {
            _position = 0;
            _end = toMemory ? NextDmaIn() : NextDmaOut();
            if (_end == 0)
            {
                _transfer = Transfer.None;
                return;
            }
        }
        if (Channel.BusMaster is not { Started: true } master)
            return; // waits for the next start
        Span<byte> piece = Buffer.AsSpan(_position, _end - _position);
        int moved = Math.Clamp(toMemory ? master.WriteToMemory(piece) : master.ReadFromMemory(piece), 0, piece.Length);
        _position += moved;
        if (moved < piece.Length)
            return; // PRD table exhausted: DMARQ stays, as on the real bus
        if (!toMemory)
            DataOutDone(_end);
        if (_transfer != Transfer.None)
            After(Channel.Timing.SectorNs * (1 + (_end >> 9)), DmaStep);
    }

    private void ResetDone()
    {
        Error = 1; // diagnostic code: passed, device 1 passed or not present
        Device = 0;
        Status = SetSignature();
    }

    private void DiagnosticDone()
    {
        ResetDone();
        if (Position == 0)
            Interrupt();
    }

    /// <summary>Ends whatever is going on.</summary>
    protected void Stop()
    {
        _timer!.Disarm();
        _next = null;
        _transfer = Transfer.None;
        InterruptPending = false;
    }

    private void OnTimer(long deadline)
    {
        Action? next = _next;
        _next = null;
        Status &= ~AtaStatus.BSY;
        next?.Invoke();
        Channel.UpdateInterrupt();
    }
}
