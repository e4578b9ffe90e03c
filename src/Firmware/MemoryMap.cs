using System.Buffers.Binary;

namespace Farm.Firmware;

/// <summary>What a range of guest-physical space is.</summary>
public enum MemoryRangeKind
{
    Ram,

    /// <summary>RAM that the chipset may hide behind ROM (i440FX PAM, C0000h-FFFFFh).</summary>
    Shadow,
    Rom,

    /// <summary>RAM of the firmware stack itself; no operating system is told of it.</summary>
    Private,
    Mmio,
}

/// <summary>One range of guest-physical space.</summary>
public readonly record struct MemoryRange(ulong Start, ulong Length, MemoryRangeKind Kind, string Name)
{
    /// <summary>First address after the range.</summary>
    public ulong End => Start + Length;
}

/// <summary>An entry of the table that INT 15h E820h reports (ACPI 6, 15.1): 1 = usable, 2 = reserved.</summary>
public readonly record struct E820Entry(ulong Start, ulong Length, uint Type)
{
    /// <summary>Size of an entry in memory.</summary>
    public const int Size = 20;

    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(destination, Start);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[8..], Length);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[16..], Type);
    }
}

/// <summary>
/// The guest-physical map of a machine with a given amount of RAM; docs/memory-map.md is its description. MachineBuilder maps
/// by it, fw_cfg and CMOS report by it.
/// </summary>
public sealed class MemoryMap
{
    public const uint VgaWindow = 0xA0000;
    public const uint VgaBios = 0xC0000;
    public const uint AssistBlob = 0xD0000;
    public const uint BiosTop = 0x100000;

    /// <summary>End of RAM below 4 GiB: the PCI hole follows.</summary>
    public const uint PciHole = 0xC0000000;
    public const uint IoApic = 0xFEC00000;
    public const uint Hpet = 0xFED00000;
    public const uint LocalApic = 0xFEE00000;

    /// <summary>The loader image, as ROM. Bit 20 is 0, so that it does not depend on the A20 gate.</summary>
    public const uint LoaderRom = 0xFFE00000;

    /// <summary>Largest loader image.</summary>
    public const int LoaderRomLimit = 0x80000;

    /// <summary>The resident monitor's RAM (code, tables, stacks), above everything that real-mode code can reach. Bit 20 is 0.</summary>
    public const uint AssistRam = 0xFFE80000;
    public const int AssistRamSize = 0x80000;

    private const ulong FourGiB = 1ul << 32;

    /// <summary>The most RAM that a machine may have: up to the PCI hole and from 4 GiB to the end of its addresses.</summary>
    public static ulong MostRam(int addressBits = 36) => (1ul << addressBits) - FourGiB + PciHole;

    /// <param name="ramBytes">RAM of the machine, 1 MiB or more, a multiple of 64 KiB.</param>
    /// <param name="flashBytes">Size of the BIOS flash: 64, 128 or 256 KiB.</param>
    /// <param name="addressBits">Width of the guest's physical addresses.</param>
    public MemoryMap(ulong ramBytes, int flashBytes = 0x20000, int addressBits = 36)
    {
        if (ramBytes < 0x100000 || ramBytes % 0x10000 != 0)
            throw new ArgumentException($"{ramBytes} bytes of RAM: at least 1 MiB and a multiple of 64 KiB is needed.", nameof(ramBytes));
        if (flashBytes is not (0x10000 or 0x20000 or 0x40000))
            throw new ArgumentException($"A BIOS flash has 64, 128 or 256 KiB, not {flashBytes} bytes.", nameof(flashBytes));
        RamBytes = ramBytes;
        RamBelow4G = Math.Min(ramBytes, PciHole);
        RamAbove4G = ramBytes - RamBelow4G;
        if (FourGiB + RamAbove4G > 1ul << addressBits)
            throw new ArgumentException($"{ramBytes} bytes of RAM do not fit below {addressBits} address bits.", nameof(ramBytes));
        FlashBase = (uint)(FourGiB - (ulong)flashBytes);
        Ranges = Build(flashBytes);
    }

    public ulong RamBytes { get; }

    public ulong RamBelow4G { get; }

    public ulong RamAbove4G { get; }

    /// <summary>Where the BIOS flash begins; it ends at 4 GiB. Its last 128 KiB (64 for a 64 KiB flash) also answer below 1 MiB.</summary>
    public uint FlashBase { get; }

    /// <summary>All ranges in ascending order; what lies between them is open bus.</summary>
    public IReadOnlyList<MemoryRange> Ranges { get; }

    /// <summary>The RAM that an operating system may use, as fw_cfg's "etc/e820" gives it to SeaBIOS: 1 = usable, 2 = reserved.</summary>
    public IReadOnlyList<E820Entry> E820
    {
        get
        {
            List<E820Entry> entries = [new(0, RamBelow4G, 1)];
            if (RamAbove4G != 0)
                entries.Add(new(FourGiB, RamAbove4G, 1));
            entries.Add(new(LoaderRom, FourGiB - LoaderRom, 2));
            return entries;
        }
    }

    /// <summary>
    /// The CMOS cells by which a BIOS learns the size of RAM: 15h/16h base and 17h/18h, 30h/31h extended memory in KiB, 34h/35h
    /// RAM above 16 MiB and 5Bh-5Dh RAM above 4 GiB in units of 64 KiB.
    /// </summary>
    public IReadOnlyDictionary<byte, byte> CmosCells
    {
        get
        {
            uint extended = (uint)Math.Min((RamBelow4G - 0x100000) >> 10, 0xFFFF);
            uint above16M = RamBelow4G > 0x1000000 ? (uint)((RamBelow4G - 0x1000000) >> 16) : 0;
            uint above4G = (uint)(RamAbove4G >> 16);
            Dictionary<byte, byte> cells = [];
            Put(0x15, 640, 2);
            Put(0x17, extended, 2);
            Put(0x30, extended, 2);
            Put(0x34, above16M, 2);
            Put(0x5B, above4G, 3);
            return cells;

            void Put(byte cell, uint value, int bytes)
            {
                for (int i = 0; i < bytes; i++)
                    cells[(byte)(cell + i)] = (byte)(value >> (8 * i));
            }
        }
    }

    private List<MemoryRange> Build(int flashBytes)
    {
        List<MemoryRange> ranges =
        [
            new(0, VgaWindow, MemoryRangeKind.Ram, "conventional memory"),
            new(VgaWindow, VgaBios - VgaWindow, MemoryRangeKind.Mmio, "VGA window"),
            new(VgaBios, AssistBlob - VgaBios, MemoryRangeKind.Shadow, "VGABIOS, option ROMs"),
            new(AssistBlob, 0x10000, MemoryRangeKind.Shadow, "assist image, option ROMs"),
            new(0xE0000, BiosTop - 0xE0000, MemoryRangeKind.Shadow, "BIOS"),
        ];
        if (RamBelow4G > BiosTop)
            ranges.Add(new(BiosTop, RamBelow4G - BiosTop, MemoryRangeKind.Ram, "extended memory"));
        ranges.Add(new(IoApic, 0x1000, MemoryRangeKind.Mmio, "IOAPIC"));
        ranges.Add(new(Hpet, 0x400, MemoryRangeKind.Mmio, "HPET"));
        ranges.Add(new(LocalApic, 0x1000, MemoryRangeKind.Mmio, "local APIC"));
        ranges.Add(new(LoaderRom, LoaderRomLimit, MemoryRangeKind.Rom, "loader"));
        ranges.Add(new(AssistRam, AssistRamSize, MemoryRangeKind.Private, "assist"));
        ranges.Add(new(FlashBase, (ulong)flashBytes, MemoryRangeKind.Rom, "BIOS flash"));
        if (RamAbove4G != 0)
            ranges.Add(new(FourGiB, RamAbove4G, MemoryRangeKind.Ram, "high memory"));
        return ranges;
    }
}
