using System.Buffers.Binary;
using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Ide;

/// <summary>One channel's bus master: eight registers and the walk along the physical region descriptor table.</summary>
public sealed class BusMasterIdeChannel : IBusMasterDma
{
    private const int DescriptorSize = 8;
    private const uint EndOfTable = 0x8000_0000;

    private readonly IGuestMemory _memory;
    private BusMasterCommand _command;
    private BusMasterStatus _status;
    private uint _tablePointer;

    /// <summary>Address of the next descriptor, and what is left of the present one.</summary>
    private uint _next;
    private uint _address;
    private int _left;
    private bool _last;

    internal BusMasterIdeChannel(IGuestMemory memory) => _memory = memory;

    /// <summary>Called when the guest sets Start: the ATA channel may begin to move data.</summary>
    public Action? StartSet { get; set; }

    public bool Started => (_command & BusMasterCommand.Start) != 0 && (_status & BusMasterStatus.Active) != 0;

    /// <summary>The line to give to the ATA channel: sets the Interrupt bit on its rising edge and passes the level to <paramref name="irq"/>.</summary>
    public InterruptLine Intercept(InterruptLine irq) => new(level =>
    {
        if (level)
            _status |= BusMasterStatus.Interrupt;
        irq.Set(level);
    });

    public int WriteToMemory(ReadOnlySpan<byte> data)
    {
        int done = 0;
        while (done < data.Length && NextRun(data.Length - done, toMemory: true) is > 0 and var run)
        {
            _memory.Write(_address, data.Slice(done, run));
            Advance(run);
            done += run;
        }
        return done;
    }

    public int ReadFromMemory(Span<byte> data)
    {
        int done = 0;
        while (done < data.Length && NextRun(data.Length - done, toMemory: false) is > 0 and var run)
        {
            _memory.Read(_address, data.Slice(done, run));
            Advance(run);
            done += run;
        }
        return done;
    }

    internal void Reset()
    {
        _command = 0;
        _status = 0;
        _tablePointer = 0;
        _left = 0;
        _last = false;
    }

    internal byte Read(int register) => register switch
    {
        0 => (byte)_command,
        2 => (byte)_status,
        >= 4 and <= 7 => (byte)(_tablePointer >> (8 * (register - 4))),
        _ => 0,
    };

    internal void Write(int register, byte value)
    {
        switch (register)
        {
            case 0:
                WriteCommand((BusMasterCommand)value & (BusMasterCommand.Start | BusMasterCommand.ToMemory));
                break;
            case 2:
                const BusMasterStatus capable = BusMasterStatus.Drive0Capable | BusMasterStatus.Drive1Capable;
                const BusMasterStatus clearedByOne = BusMasterStatus.Interrupt | BusMasterStatus.Error;
                _status = _status & ~capable & ~((BusMasterStatus)value & clearedByOne) | (BusMasterStatus)value & capable;
                break;
            case >= 4 and <= 7:
                int shift = 8 * (register - 4);
                _tablePointer = (_tablePointer & ~(0xFFu << shift) | (uint)value << shift) & ~3u;
                break;
        }
    }

    private void WriteCommand(BusMasterCommand value)
    {
        bool starts = (value & ~_command & BusMasterCommand.Start) != 0;
        _command = value;
        if ((value & BusMasterCommand.Start) == 0)
        {
            _status &= ~BusMasterStatus.Active;
        }
        else if (starts)
        {
            _next = _tablePointer;
            _left = 0;
            _last = false;
            _status |= BusMasterStatus.Active;
            StartSet?.Invoke();
        }
    }

    /// <summary>Bytes that can move at once at <see cref="_address"/>; 0 when nothing can.</summary>
    private int NextRun(int wanted, bool toMemory)
    {
        if (!Started || toMemory != ((_command & BusMasterCommand.ToMemory) != 0))
            return 0;
        if (_left == 0 && !Fetch())
            return 0;
        return Math.Min(wanted, _left);
    }

    private bool Fetch()
    {
        Span<byte> descriptor = stackalloc byte[DescriptorSize];
        if (_last || !_memory.Read(_next, descriptor))
        {
            _status = _status & ~BusMasterStatus.Active | (_last ? 0 : BusMasterStatus.Error);
            return false;
        }
        uint control = BinaryPrimitives.ReadUInt32LittleEndian(descriptor[4..]);
        _address = BinaryPrimitives.ReadUInt32LittleEndian(descriptor) & ~1u;
        _left = (int)(control & 0xFFFE);
        if (_left == 0)
            _left = 0x10000;
        _last = (control & EndOfTable) != 0;
        // The table lies inside one 64 KiB page: the pointer's upper half does not count.
        _next = _next & 0xFFFF_0000 | _next + DescriptorSize & 0xFFFF;
        return true;
    }

    private void Advance(int count)
    {
        _address += (uint)count;
        _left -= count;
        if (_left == 0 && _last)
            _status &= ~BusMasterStatus.Active;
    }
}
