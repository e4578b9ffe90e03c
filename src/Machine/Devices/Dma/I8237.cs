using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Dma;

/// <summary>
/// The two 8237A of a PC/AT with the page registers of 81h-8Fh (80h belongs to the POST code latch). Channels 0-3 reach the bus through
/// channel 4, which has to be unmasked in cascade mode.
/// </summary>
public sealed class I8237 : IPortDevice
{
    private readonly DmaChannel[] _channels = new DmaChannel[8];
    private readonly DmaCommand[] _commands = new DmaCommand[2];
    private readonly bool[] _highByte = new bool[2];
    private readonly byte[] _requests = new byte[2];
    private readonly byte[] _spare = new byte[16];

    public I8237(IGuestMemory memory)
    {
        for (int i = 0; i < _channels.Length; i++)
            _channels[i] = new DmaChannel(this, memory, i);
        Reset();
    }

    public string Name => "8237A";

    public IReadOnlyList<PortRange> Ports { get; } = [new(0x00, 16), new(0x81, 15), new(0xC0, 32)];

    /// <summary>DREQ/DACK of channel 0-3 and 5-7.</summary>
    public IDmaChannel Channel(int number) => _channels[number];

    public void Reset()
    {
        foreach (var channel in _channels)
            channel.Reset();
        MasterClear(0);
        MasterClear(1);
        Array.Clear(_spare);
    }

    public uint ReadPort(ushort port, int size) => port switch
    {
        < 0x10 => ReadController(0, port),
        >= 0x81 and <= 0x8F => PageChannel(port) is { } channel ? channel.Page : _spare[port & 15],
        >= 0xC0 and <= 0xDF when (port & 1) == 0 => ReadController(1, (port - 0xC0) >> 1),
        _ => 0xFF,
    };

    public void WritePort(ushort port, uint value, int size)
    {
        switch (port)
        {
            case < 0x10:
                WriteController(0, port, (byte)value);
                break;
            case >= 0x81 and <= 0x8F when PageChannel(port) is { } channel:
                channel.Page = (byte)value;
                break;
            case >= 0x81 and <= 0x8F:
                _spare[port & 15] = (byte)value;
                break;
            case >= 0xC0 and <= 0xDF when (port & 1) == 0:
                WriteController(1, (port - 0xC0) >> 1, (byte)value);
                break;
        }
    }

    /// <summary>The channel's controller is enabled and, for channels 0-3, the cascade is open.</summary>
    internal bool Serves(int channel)
    {
        if ((_commands[channel >> 2] & DmaCommand.Disable) != 0)
            return false;
        if (channel >= 4)
            return true;
        var cascade = _channels[4];
        return !cascade.Masked && (cascade.Mode & DmaMode.Cascade) == DmaMode.Cascade && (_commands[1] & DmaCommand.Disable) == 0;
    }

    private DmaChannel? PageChannel(ushort port) => port switch
    {
        0x87 => _channels[0],
        0x83 => _channels[1],
        0x81 => _channels[2],
        0x82 => _channels[3],
        0x8F => _channels[4],
        0x8B => _channels[5],
        0x89 => _channels[6],
        0x8A => _channels[7],
        _ => null,
    };

    private uint ReadController(int controller, int register)
    {
        if (register < 8)
        {
            var channel = _channels[controller * 4 + (register >> 1)];
            int value = (register & 1) == 0 ? channel.CurrentAddress : channel.CurrentCount;
            return (byte)(NextIsHigh(controller) ? value >> 8 : value);
        }
        switch (register)
        {
            case 8:
                uint status = (uint)_requests[controller] << 4;
                for (int i = 0; i < 4; i++)
                {
                    var channel = _channels[controller * 4 + i];
                    status |= channel.TerminalCount ? 1u << i : 0;
                    channel.TerminalCount = false;
                }
                return status;
            case 15:
                uint mask = 0xF0;
                for (int i = 0; i < 4; i++)
                    mask |= _channels[controller * 4 + i].Masked ? 1u << i : 0;
                return mask;
            case 13:
                return 0; // temporary register: only memory-to-memory transfers fill it
            default:
                return 0xFF;
        }
    }

    private void WriteController(int controller, int register, byte value)
    {
        if (register < 8)
        {
            WriteAddressOrCount(_channels[controller * 4 + (register >> 1)], (register & 1) != 0, value, NextIsHigh(controller));
            return;
        }
        var selected = _channels[controller * 4 + (value & 3)];
        switch (register)
        {
            case 8:
                _commands[controller] = (DmaCommand)value;
                break;
            case 9:
                _requests[controller] = (byte)((value & 4) != 0 ? _requests[controller] | 1 << (value & 3) : _requests[controller] & ~(1 << (value & 3)));
                break;
            case 10:
                selected.Masked = (value & 4) != 0;
                break;
            case 11:
                selected.Mode = (DmaMode)(value & 0xFC);
                break;
            case 12:
                _highByte[controller] = false;
                break;
            case 13:
                MasterClear(controller);
                break;
            case 14:
                for (int i = 0; i < 4; i++)
                    _channels[controller * 4 + i].Masked = false;
                break;
            case 15:
                for (int i = 0; i < 4; i++)
                    _channels[controller * 4 + i].Masked = (value & 1 << i) != 0;
                break;
        }
    }

    private static void WriteAddressOrCount(DmaChannel channel, bool count, byte value, bool high)
    {
        ushort Merge(ushort old) => (ushort)(high ? old & 0x00FF | value << 8 : old & 0xFF00 | value);
        if (count)
        {
            channel.BaseCount = Merge(channel.BaseCount);
            channel.CurrentCount = channel.BaseCount;
        }
        else
        {
            channel.BaseAddress = Merge(channel.BaseAddress);
            channel.CurrentAddress = channel.BaseAddress;
        }
    }

    private bool NextIsHigh(int controller)
    {
        bool high = _highByte[controller];
        _highByte[controller] = !high;
        return high;
    }

    private void MasterClear(int controller)
    {
        _commands[controller] = 0;
        _requests[controller] = 0;
        _highByte[controller] = false;
        for (int i = 0; i < 4; i++)
        {
            _channels[controller * 4 + i].Masked = true;
            _channels[controller * 4 + i].TerminalCount = false;
        }
    }
}
