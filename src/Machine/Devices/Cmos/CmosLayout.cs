using Farm.Machine.Storage;

namespace Farm.Machine.Devices.Cmos;

/// <summary>Fills the NVRAM as the PC/AT's setup and the Bochs BIOS (rombios.c, comments on CMOS use) lay it out.</summary>
internal static class CmosLayout
{
    private const ulong KiB = 1024;
    private const ulong MiB = 1024 * KiB;

    public static void Fill(Span<byte> nvram, CmosSettings settings)
    {
        nvram[CmosAddress.RegisterA] = 0x26;
        nvram[CmosAddress.RegisterB] = (byte)RegisterB.Hour24;
        nvram[CmosAddress.FloppyTypes] = (byte)((int)settings.DriveA << 4 | (int)settings.DriveB);
        nvram[CmosAddress.Equipment] = Equipment(settings);

        Word(nvram, CmosAddress.BaseMemory, 640);
        ulong extended = settings.LowMemory > MiB ? (settings.LowMemory - MiB) / KiB : 0;
        int extendedKiB = (int)Math.Min(extended, 0xFC00);
        Word(nvram, CmosAddress.ExtendedMemory, extendedKiB);
        Word(nvram, CmosAddress.ExtendedMemoryPost, extendedKiB);
        ulong above16M = settings.LowMemory > 16 * MiB ? (settings.LowMemory - 16 * MiB) / (64 * KiB) : 0;
        Word(nvram, CmosAddress.MemoryAbove16M, (int)Math.Min(above16M, 0xFFFF));
        ulong above4G = settings.HighMemory / (64 * KiB);
        Word(nvram, CmosAddress.MemoryAbove4G, (int)(above4G & 0xFFFF));
        nvram[CmosAddress.MemoryAbove4G + 2] = (byte)(above4G >> 16);

        nvram[CmosAddress.DiskTypes] = (byte)((settings.Disk0 is null ? 0 : 0xF0) | (settings.Disk1 is null ? 0 : 0x0F));
        Disk(nvram, settings.Disk0, CmosAddress.Disk0Type, CmosAddress.Disk0Geometry);
        Disk(nvram, settings.Disk1, CmosAddress.Disk1Type, CmosAddress.Disk1Geometry);
        nvram[CmosAddress.Translation] = (byte)(Translation(settings.Disk0) | Translation(settings.Disk1) << 2
            | Translation(settings.Disk2) << 4 | Translation(settings.Disk3) << 6);

        BootDevice Boot(int index) => index < settings.BootOrder.Count ? settings.BootOrder[index] : BootDevice.None;
        nvram[CmosAddress.BootFirstSecond] = (byte)((int)Boot(0) | (int)Boot(1) << 4);
        nvram[CmosAddress.BootThird] = (byte)((int)Boot(2) << 4 | (settings.SkipFloppySignatureCheck ? 1 : 0));
        nvram[CmosAddress.SystemOperation] = (byte)(Boot(0) == BootDevice.Floppy ? 0x20 : 0);
        nvram[CmosAddress.ProcessorCount] = (byte)(Math.Max(1, settings.Processors) - 1);

        int sum = 0;
        for (int i = CmosAddress.FloppyTypes; i < CmosAddress.Checksum; i++)
            sum += nvram[i];
        nvram[CmosAddress.Checksum] = (byte)(sum >> 8);
        nvram[CmosAddress.Checksum + 1] = (byte)sum;
    }

    private static byte Equipment(CmosSettings settings)
    {
        int floppies = (settings.DriveA != 0 ? 1 : 0) + (settings.DriveB != 0 ? 1 : 0);
        int value = floppies == 0 ? 0 : 1 | (floppies - 1) << 6;
        if (settings.MathCoprocessor)
            value |= 0x02;
        if (settings.Mouse)
            value |= 0x04;
        return (byte)value;
    }

    /// <summary>Type 47: cylinders, heads, write precompensation, control byte, landing zone, sectors per track.</summary>
    private static void Disk(Span<byte> nvram, DiskParameters? disk, int type, int at)
    {
        if (disk?.Physical is not { } geometry)
            return;
        nvram[type] = 47;
        Word(nvram, at, geometry.Cylinders);
        nvram[at + 2] = (byte)geometry.Heads;
        Word(nvram, at + 3, 0xFFFF);
        nvram[at + 5] = (byte)(0xC0 | (geometry.Heads > 8 ? 0x08 : 0));
        Word(nvram, at + 6, geometry.Cylinders);
        nvram[at + 8] = (byte)geometry.SectorsPerTrack;
    }

    private static int Translation(DiskParameters? disk) => (int)(disk?.Translation ?? BiosTranslation.None);

    private static void Word(Span<byte> nvram, int at, int value)
    {
        nvram[at] = (byte)value;
        nvram[at + 1] = (byte)(value >> 8);
    }
}
