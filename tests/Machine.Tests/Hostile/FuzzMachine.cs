using System.Buffers.Binary;
using Farm.Assist.Monitor;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Soft;
using Farm.Machine.Tests.Firmware;
using Farm.Machine.Tests.Storage;

namespace Farm.Machine.Tests.Hostile;

/// <summary>A whole PC as <see cref="MachineBuilder"/> wires it, and a hostile guest's hands on its buses.</summary>
internal sealed partial class FuzzMachine : IDisposable
{
    private const int MemoryMiB = 4;
    private const uint RamSize = MemoryMiB << 20;

    private static readonly byte[] s_ataCommands =
        [0x08, 0x10, 0x20, 0x24, 0x25, 0x27, 0x29, 0x30, 0x34, 0x35, 0x39, 0x3D, 0x40, 0x42, 0x70, 0x90, 0x91, 0xA0, 0xA0, 0xA0, 0xA1, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0xE4, 0xE7, 0xE8, 0xEC, 0xEF, 0xF8];
    private static readonly byte[] s_packets =
        [0x00, 0x03, 0x12, 0x15, 0x1A, 0x1B, 0x1E, 0x25, 0x28, 0x28, 0x2B, 0x2F, 0x42, 0x43, 0x44, 0x46, 0x4A, 0x51, 0x52, 0x55, 0x5A, 0xA8, 0xAD, 0xB9, 0xBD, 0xBE, 0xBE];
    private static readonly byte[] s_floppyCommands = [0x03, 0x04, 0x07, 0x08, 0x0F, 0x10, 0x13, 0x42, 0x46, 0xE6, 0x45, 0xC5, 0x4A, 0x4C, 0x4D, 0x56, 0xD6, 0x0E, 0x8F, 0xCF];

    private readonly Random _random;
    private readonly TestFolder _folder = new();
    private readonly string[] _floppies;
    private readonly string _iso;
    private readonly Queue<string> _log = new();
    private readonly PcMachine _machine;
    private readonly ushort[] _ports;

    public FuzzMachine(Random random)
    {
        _random = random;
        _floppies = [_folder.Sparse("a.img", 1474560), _folder.Sparse("b.img", 368640), _folder.Sparse("c.img", 2949120)];
        _iso = _folder.File("cd.iso", TinyIso.Build(0, new byte[1 << 20], 4, tail: 2000).AsSpan(0, 2 << 20));
        _machine = Build();
        // A device answers all of what it decodes; the ports of the i440FX's configuration space are given their own turns.
        _ports = [.. _machine.Parts.Ports.Mappings.Where(m => m.First is not null).SelectMany(m => Enumerable.Range(m.First!.Value, m.Count)).Select(p => (ushort)p)];
    }

    /// <summary>The last accesses, newest last.</summary>
    public string Log => string.Join('\n', _log);

    public void Step()
    {
        switch (_random.Next(23))
        {
            case < 3:
                Out(Port(), Value(), Size());
                break;
            case 3:
                In(Port(), Size());
                break;
            case 4:
                Out((ushort)_random.Next(0x10000), Value(), Size());
                In((ushort)_random.Next(0x10000), Size());
                break;
            case 5:
                Memory();
                break;
            case 6:
                Configure();
                break;
            case 7:
                Ata();
                break;
            case 8:
                Packet();
                break;
            case 9:
                BusMaster();
                break;
            case 10:
                FloppyCommand();
                break;
            case 11:
                IsaDma();
                break;
            case 12:
                Vga();
                break;
            case 13:
                FirmwareConfiguration();
                break;
            case 14:
                Block();
                break;
            case 15:
                Scribble();
                break;
            case 16:
                Screen();
                break;
            case 17:
                Outside();
                break;
            case 18 or 19:
                Card();
                break;
            case 20:
                Apic();
                break;
            default:
                Pass(_random.Next(4) == 0 ? _random.NextInt64(200_000_000) : _random.NextInt64(200_000));
                break;
        }
    }

    /// <summary>What a reset must always bring back: a machine whose processor starts and whose devices answer.</summary>
    public void CheckReset()
    {
        _machine.Reset(ResetKind.Hard);
        Pass(3_000_000_000);
        Out(0x1F6, 0xA0, 1);
        Assert.Equal(0x50u, In(0x3F6, 1));
        Assert.InRange(_machine.Events.Events.Count, 0, Farm.Machine.Bus.EventLog.DefaultCapacity);
    }

    public void Dispose()
    {
        _machine.Dispose();
        _folder.Dispose();
    }

    private PcMachine Build() => TestMachine.Build(new MachineOptions
    {
        MemoryMiB = MemoryMiB,
        Assist = (AssistStrength)_random.Next(3),
        Firmware = _random.Next(2) == 0 ? "bochs" : "seabios",
        Vgabios = _random.Next(2) == 0 ? "std" : "cirrus",
        CpuModel = _random.Next(2) == 0 ? "p3" : "x86-64",
        Vcpus = _random.Next(1, 4),
        Floppies = _random.Next(3) == 0 ? [null, _floppies[1]] : [_floppies[2 * _random.Next(2)], _floppies[1]],
        Disks = [_folder.Sparse("small.img", 20 << 20), _folder.Sparse("large.img", 200L << 30)],
        Cdroms = [_random.Next(3) == 0 ? null : _iso],
        VirtioDisks = [_folder.Sparse("virtio.img", 4 << 20)],
        Nics = Nics(),
        WriteThrough = _random.Next(4) == 0,
    });

    private uint In(ushort port, int size)
    {
        Note($"in {port:X4}h/{size}");
        return _machine.Parts.Door.ReadPort(port, size);
    }

    private void Out(ushort port, uint value, int size)
    {
        Note($"out {port:X4}h/{size} = {value:X}h");
        _machine.Parts.Door.WritePort(port, value, size);
    }

    private ushort Port() => _ports[_random.Next(_ports.Length)];

    private int Size() => 1 << _random.Next(3);

    private uint Value() => _random.Next(5) switch
    {
        0 => (uint)_random.Next(256),
        1 => 0,
        2 => uint.MaxValue,
        3 => 1u << _random.Next(32),
        _ => (uint)_random.NextInt64(1L << 32),
    };

    private byte Byte() => _random.Next(4) switch
    {
        0 => (byte)_random.Next(4),
        1 => (byte)(0xFF - _random.Next(4)),
        2 => (byte)(1 << _random.Next(8)),
        _ => (byte)_random.Next(256),
    };

    /// <summary>A guest-physical address, with a taste for edges: ends of RAM, windows, framebuffers, the top of 4 GiB and beyond.</summary>
    private ulong Address()
    {
        ulong near = _random.Next(14) switch
        {
            0 => 0,
            1 => 0xA0000,
            2 => 0xC0000,
            3 => 0x100000,
            4 => RamSize,
            5 => 0xE0000000,
            6 => 0xE0000000 + (16 << 20),
            7 => 0xFEC00000,
            8 => 0xFEE00000,
            9 => 0xFFE00000,
            10 => 0x100000000,
            11 => 0xFFFFFFFFF,
            12 => ulong.MaxValue,
            _ => (ulong)_random.NextInt64(1L << 32),
        };
        return _random.Next(3) == 0 ? near + (ulong)_random.Next(0x20000) : near + (ulong)_random.Next(64) - 32;
    }

    private uint Ram() => (uint)_random.Next((int)RamSize);

    private void Memory()
    {
        ulong address = Address();
        int size = 1 << _random.Next(4);
        if ((address & 0xFFF) + (ulong)size > 0x1000)
            address &= ~7ul;
        if (_machine.Memory.Map.KindAt(address) != Assist.Cpu.PageKind.Mmio)
            return;
        Note($"memory {address:X}h/{size}");
        _machine.Parts.Door.WriteMmio(address, Value() | (ulong)Value() << 32, size);
        _machine.Parts.Door.ReadMmio(address, size);
    }

    private void Configure()
    {
        (int slot, int function) = _random.Next(6) switch { 0 => (0, 0), 1 => (1, 0), 2 => (1, 1), 3 => (1, 3), 4 => (2, 0), _ => (_random.Next(8), _random.Next(2)) };
        int register = _random.Next(3) == 0 ? 4 * _random.Next(4, 11) : 4 * _random.Next(64);
        Out(0xCF8, 0x80000000 | (uint)slot << 11 | (uint)function << 8 | (uint)register, 4);
        if (_random.Next(2) == 0)
            Out((ushort)(0xCFC + _random.Next(4)), _random.Next(3) == 0 ? (uint)Address() : Value(), Size());
        else
            In((ushort)(0xCFC + _random.Next(4)), Size());
        if (_random.Next(3) == 0)
        {
            Out(0xCF8, 0x80000000 | (uint)slot << 11 | (uint)function << 8 | 4, 4);
            Out(0xCFC, 0x7, 2);
        }
    }

    private void Ata()
    {
        ushort start = _random.Next(2) == 0 ? (ushort)0x1F0 : (ushort)0x170;
        for (int pass = _random.Next(1, 3); pass > 0; pass--)
        {
            for (int register = 1; register < 7; register++)
                Out((ushort)(start + register), Byte(), 1);
        }
        if (_random.Next(8) == 0)
            Out((ushort)(start + 0x206), Byte(), 1);
        Out((ushort)(start + 7), _random.Next(4) == 0 ? Byte() : s_ataCommands[_random.Next(s_ataCommands.Length)], 1);
        Data(start);
    }

    private void Data(ushort start)
    {
        if (_random.Next(2) == 0)
            Pass(_random.NextInt64(3_000_000));
        bool reads = _random.Next(2) == 0;
        int size = Size();
        for (int n = _random.Next(300); n > 0; n--)
        {
            if (reads)
                _machine.Parts.Door.ReadPort(start, size);
            else
                _machine.Parts.Door.WritePort(start, (uint)_random.Next(), size);
        }
    }

    private void Packet()
    {
        Out(0x176, (uint)(0xA0 | _random.Next(2) << 4), 1);
        Out(0x171, (uint)_random.Next(4), 1);
        Out(0x174, Byte(), 1);
        Out(0x175, Byte(), 1);
        Out(0x177, 0xA0, 1);
        Span<byte> packet = stackalloc byte[12];
        for (int i = 1; i < 12; i++)
            packet[i] = _random.Next(2) == 0 ? (byte)0 : Byte();
        packet[0] = _random.Next(8) == 0 ? Byte() : s_packets[_random.Next(s_packets.Length)];
        Note($"packet {Convert.ToHexString(packet)}");
        for (int i = 0; i < 12; i += 2)
            _machine.Parts.Door.WritePort(0x170, BinaryPrimitives.ReadUInt16LittleEndian(packet[i..]), 2);
        if (_random.Next(2) == 0)
            BusMaster();
        Data(0x170);
    }

    /// <summary>Finds the bus master's ports, enables it, gives it a table of random descriptors, starts.</summary>
    private void BusMaster()
    {
        const uint device = 0x80000900;
        if (_random.Next(2) == 0)
        {
            Out(0xCF8, device | 0x20, 4);
            Out(0xCFC, 0xC000, 4);
            Out(0xCF8, device | 0x04, 4);
            Out(0xCFC, 0x0005, 2);
        }
        uint table = _random.Next(4) == 0 ? (uint)Address() : Ram() & ~3u;
        Span<byte> descriptors = stackalloc byte[8 * _random.Next(1, 20)];
        for (int i = 0; i < descriptors.Length; i += 8)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(descriptors[i..], _random.Next(3) == 0 ? (uint)Address() : Ram());
            BinaryPrimitives.WriteUInt32LittleEndian(descriptors[(i + 4)..], Value() & (_random.Next(3) == 0 ? uint.MaxValue : 0xFFFF));
        }
        _machine.Memory.Write(table, descriptors);
        ushort start = (ushort)(0xC000 + 8 * _random.Next(2));
        Out((ushort)(start + 4), table, 4);
        Out((ushort)(start + 2), Byte(), 1);
        Out(start, (uint)(_random.Next(2) == 0 ? 0x09 : 0x01), 1);
        if (_random.Next(2) == 0)
            Pass(_random.NextInt64(2_000_000));
        if (_random.Next(2) == 0)
            Out(start, Byte(), 1);
    }

    private void FloppyCommand()
    {
        if (_random.Next(3) == 0)
            Out(0x3F2, (uint)(0x1C | _random.Next(4)), 1);
        if (_random.Next(8) == 0)
            Out((ushort)(0x3F2 + _random.Next(6)), Byte(), 1);
        Out(0x3F5, _random.Next(4) == 0 ? Byte() : s_floppyCommands[_random.Next(s_floppyCommands.Length)], 1);
        for (int n = _random.Next(10); n > 0; n--)
            Out(0x3F5, _random.Next(4) == 0 ? Byte() : (uint)_random.Next(20), 1);
        Pass(_random.NextInt64(20_000_000));
        for (int n = _random.Next(600); n > 0; n--)
            _machine.Parts.Door.ReadPort(0x3F5, 1);
    }

    private void IsaDma()
    {
        ushort channel = (ushort)_random.Next(4);
        Out(0x0C, 0, 1);
        Out((ushort)(channel * 2), Byte(), 1);
        Out((ushort)(channel * 2), Byte(), 1);
        Out((ushort)(channel * 2 + 1), Byte(), 1);
        Out((ushort)(channel * 2 + 1), Byte(), 1);
        Out((ushort)(0x80 + _random.Next(16)), Byte(), 1);
        Out(0x0B, (uint)(Byte() & 0xFC | channel), 1);
        Out(0x0A, channel, 1);
        if (_random.Next(4) == 0)
            Out((ushort)(0xC0 + _random.Next(32)), Byte(), 1);
    }

    private void Vga()
    {
        ushort index = _random.Next(5) switch { 0 => (ushort)0x3C4, 1 => (ushort)0x3CE, 2 => (ushort)0x3B4, _ => (ushort)0x3D4 };
        switch (_random.Next(6))
        {
            case 0:
                Out(0x1CE, (uint)_random.Next(12), 2);
                Out(0x1CF, _random.Next(3) == 0 ? Value() & 0xFFFF : (uint)_random.Next(1700), 2);
                break;
            case 1:
                In(0x3DA, 1);
                Out(0x3C0, Byte(), 1);
                Out(0x3C0, Byte(), 1);
                break;
            case 2:
                Out(0x1CE, 4, 2);
                Out(0x1CF, (uint)_random.Next(256), 2);
                break;
            default:
                Out(index, (uint)(_random.Next(0x40) | Byte() << 8), 2);
                break;
        }
        ulong window = 0xA0000 + (ulong)_random.Next(0x20000 - 8);
        if (_machine.Memory.Map.KindAt(window) == Assist.Cpu.PageKind.Mmio && (window & 0xFFF) < 0xFF8)
        {
            _machine.Parts.Door.WriteMmio(window, Value(), 1 << _random.Next(4));
            _machine.Parts.Door.ReadMmio(window, 1 << _random.Next(4));
        }
    }

    private void FirmwareConfiguration()
    {
        uint at = _random.Next(4) == 0 ? (uint)Address() : Ram();
        Span<byte> access = stackalloc byte[16];
        BinaryPrimitives.WriteUInt32BigEndian(access, (uint)_random.Next(0x20) | (uint)_random.Next(0x30) << 16);
        BinaryPrimitives.WriteUInt32BigEndian(access[4..], _random.Next(3) == 0 ? Value() : (uint)_random.Next(5000));
        BinaryPrimitives.WriteUInt64BigEndian(access[8..], Address());
        _machine.Memory.Write(at, access);
        Out(0x514, _random.Next(8) == 0 ? Value() : 0, 4);
        Out(0x518, BinaryPrimitives.ReverseEndianness(at), 4);
        Out(0x510, Value(), 2);
        for (int n = _random.Next(100); n > 0; n--)
            _machine.Parts.Door.ReadPort(0x511, 1);
    }

    /// <summary>Registers of a processor's local APIC, the IOAPIC's table, the HPET.</summary>
    private void Apic()
    {
        var door = _machine.Parts.Doors[_random.Next(_machine.Parts.Doors.Count)];
        for (int n = _random.Next(1, 20); n > 0; n--)
        {
            ulong address = _random.Next(4) switch
            {
                0 => 0xFEC00000u + (uint)_random.Next(3) * 0x10,
                1 => 0xFED00000u + (uint)_random.Next(0x400 / 4) * 4,
                _ => 0xFEE00000u + (uint)_random.Next(0x40) * 0x10,
            };
            uint value = _random.Next(3) == 0 ? Value() : (uint)(_random.Next(0x100) | _random.Next(0x20) << 8 | _random.Next(0x10) << 16);
            Note($"apic {address:X}h = {value:X}h");
            door.WriteMmio(address, value, _random.Next(8) == 0 ? 1 << _random.Next(4) : 4);
            door.ReadMmio(address, 4);
        }
        if (_random.Next(4) == 0)
            door.AcknowledgeInterrupt();
    }

    /// <summary>Many accesses at one port: FIFOs, queues and auto-incrementing indexes must bound themselves.</summary>
    private void Block()
    {
        ushort port = Port();
        int size = Size();
        Note($"block at {port:X4}h/{size}");
        bool reads = _random.Next(3) == 0;
        for (int n = _random.Next(200); n > 0; n--)
        {
            if (reads)
                _machine.Parts.Door.ReadPort(port, size);
            else
                _machine.Parts.Door.WritePort(port, Value(), size);
        }
    }

    private void Scribble()
    {
        Span<byte> bytes = stackalloc byte[256];
        _random.NextBytes(bytes);
        _machine.Memory.Write(_random.Next(4) == 0 ? Address() : Ram(), bytes);
        _machine.Memory.Read(Address(), bytes);
    }

    private void Screen()
    {
        Note("screen");
        _machine.Screen.Stamp();
        _machine.Screen.ReadText();
        if (_random.Next(8) == 0)
            _machine.Screen.Render();
    }

    /// <summary>What a script and the host do at the same time.</summary>
    private void Outside()
    {
        Note("outside");
        switch (_random.Next(8))
        {
            case 0:
                _machine.Insert("floppy0", _floppies[2 * _random.Next(2)]);
                break;
            case 1:
                _machine.Eject("floppy0");
                break;
            case 2:
                _machine.Insert("cdrom0", _iso);
                break;
            case 3:
                _machine.Eject("cdrom0");
                break;
            case 4 when _machine.Keyboard.Keys.Count < 100:
                _machine.Keyboard.Keys.Enqueue(KeyMap.Text("fuzz\n"));
                break;
            case 5:
                _machine.Keyboard.Mouse.Move(_random.Next(-5000, 5000), _random.Next(-5000, 5000), _random.Next(-99, 99), (MouseButtons)_random.Next(8));
                break;
            case 6 when _random.Next(8) == 0:
                _machine.Reset((ResetKind)_random.Next(2));
                break;
            default:
                _machine.Parts.Door.AcknowledgeInterrupt();
                break;
        }
    }

    /// <summary>Guest time goes on without instructions.</summary>
    private void Pass(long nanoseconds)
    {
        Note($"{nanoseconds} ns");
        long end = _machine.Time.Now + nanoseconds;
        // A timer that arms itself again and again without time going on would never let this end.
        for (int turns = 0; _machine.Time.Now < end; turns++)
        {
            Assert.True(turns < 10_000_000, "timers fire without end");
            _machine.Time.IdleUntil(Math.Min(end, Math.Max(_machine.Clock.NextDeadline, _machine.Time.Now + 1)), _machine.Parts.Wake);
            _machine.Clock.AdvanceTo(_machine.Time.Now);
        }
    }

    private void Note(string line)
    {
        _log.Enqueue(line);
        if (_log.Count > 60)
            _log.Dequeue();
    }
}
