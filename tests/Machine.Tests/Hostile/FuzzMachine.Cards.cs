using System.Buffers.Binary;
using Farm.Machine.Network;
using Farm.Machine.Network.Slirp;

namespace Farm.Machine.Tests.Hostile;

/// <summary>Network cards and virtio devices.</summary>
internal sealed partial class FuzzMachine
{
    private const int FirstCardSlot = 3;
    private const int LastCardSlot = 8;
    private const uint CardPorts = 0xD000;
    private const uint CardMemory = 0xF000_0000;

    private List<NicOptions> Nics() => SlirpNetwork.Available
        ? [.. Enum.GetValues<NicModel>().Select(model => new NicOptions { Model = model, TftpFolder = _folder.Path })]
        : [];

    private void Card()
    {
        int slot = _random.Next(FirstCardSlot, LastCardSlot + 1);
        uint ports = CardPorts + (uint)slot * 0x100, memory = CardMemory + (uint)slot * 0x10_0000;
        switch (_random.Next(6))
        {
            case 0:
                Place(slot, ports, memory);
                break;
            case 1:
                for (int i = _random.Next(1, 30); i > 0; i--)
                    Out((ushort)(ports + _random.Next(0x100)), Value(), Size());
                break;
            case 2:
                for (int i = _random.Next(1, 30); i > 0; i--)
                    Mmio(memory + (uint)_random.Next(0x4000), Value(), Size());
                break;
            case 3:
                StartVirtio(memory);
                break;
            case 4:
                Chains(memory);
                break;
            default:
                Wire();
                break;
        }
    }

    private void Place(int slot, uint ports, uint memory)
    {
        Configure(slot, 0x10, ports);
        for (int bar = 1; bar < 6; bar++)
            Configure(slot, 0x10 + 4 * bar, memory);
        Configure(slot, 0x04, 0x7);
    }

    private void Configure(int slot, int register, uint value)
    {
        Out(0xCF8, 0x80000000 | (uint)slot << 11 | (uint)register, 4);
        Out(0xCFC, value, 4);
    }

    private void Mmio(uint address, uint value, int size)
    {
        Note($"mmio {address:X}h/{size} = {value:X}h");
        _machine.Parts.Door.WriteMmio(address, value, size);
        _machine.Parts.Door.ReadMmio(address, size);
    }

    /// <summary>A driver's start, with rings anywhere.</summary>
    private void StartVirtio(uint memory)
    {
        Mmio(memory + 0x14, 0, 1);
        Mmio(memory + 0x08, 1, 4);
        Mmio(memory + 0x0C, 1, 4);
        Mmio(memory + 0x14, 0x0B, 1);
        for (uint queue = 0; queue < 2; queue++)
        {
            Mmio(memory + 0x16, queue, 2);
            Mmio(memory + 0x18, 1u << _random.Next(9), 2);
            Mmio(memory + 0x20, _random.Next(8) == 0 ? (uint)Address() : Ram() & ~15u, 4);
            Mmio(memory + 0x28, _random.Next(8) == 0 ? (uint)Address() : Ram() & ~15u, 4);
            Mmio(memory + 0x30, _random.Next(8) == 0 ? (uint)Address() : Ram() & ~15u, 4);
            Mmio(memory + 0x1C, 1, 2);
        }
        Mmio(memory + 0x14, 0x0F, 1);
    }

    /// <summary>Chains of short loops and wild addresses in the queues that the device was given, then a kick.</summary>
    private void Chains(uint memory)
    {
        uint queue = (uint)_random.Next(2);
        Mmio(memory + 0x16, queue, 2);
        ulong descriptors = _machine.Parts.Door.ReadMmio(memory + 0x20, 4), available = _machine.Parts.Door.ReadMmio(memory + 0x28, 4);
        Span<byte> entry = stackalloc byte[16];
        for (int i = 0; i < 16; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(entry, _random.Next(4) == 0 ? Address() : Ram());
            BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], _random.Next(3) == 0 ? Value() : (uint)_random.Next(2000));
            BinaryPrimitives.WriteUInt16LittleEndian(entry[12..], (ushort)_random.Next(8));
            BinaryPrimitives.WriteUInt16LittleEndian(entry[14..], (ushort)_random.Next(18));
            _machine.Memory.Write(descriptors + 16 * (ulong)i, entry);
        }
        _machine.Memory.Read(available, entry[..4]);
        BinaryPrimitives.WriteUInt16LittleEndian(entry[2..], (ushort)(BinaryPrimitives.ReadUInt16LittleEndian(entry[2..]) + _random.Next(4)));
        _machine.Memory.Write(available, entry[..4]);
        Mmio(memory + 0x3000 + 4 * queue, queue, 2);
    }

    /// <summary>Frames from the network's side.</summary>
    private void Wire()
    {
        if (_machine.Parts.Cables.Count == 0)
            return;
        var frame = new byte[_random.Next(Ethernet.MaximumFrame + 2)];
        _random.NextBytes(frame);
        if (_random.Next(2) == 0)
            frame.AsSpan(0, Math.Min(frame.Length, MacAddress.Length)).Fill(0xFF);
        Note($"frame of {frame.Length}");
        _machine.Parts.Cables[_random.Next(_machine.Parts.Cables.Count)].Deliver(frame);
    }
}
