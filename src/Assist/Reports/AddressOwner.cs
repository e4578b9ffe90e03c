using Farm.Assist.Cpu;
using Farm.Assist.Monitor;

namespace Farm.Assist.Reports;

/// <summary>How far the guest is, as far as it decides whose code lies in RAM.</summary>
public enum GuestProgress
{
    /// <summary>The BIOS has not yet handed over: what runs in RAM is its own.</summary>
    Firmware,
    BootSector,
    BootLoader,
    Kernel,
}

/// <summary>Whose code lies at an address.</summary>
public static unsafe class AddressOwner
{
    public const string Loader = "loader", Assist = "assist", RomBios = "rombios", VgaBios = "vgabios", OptionRom = "option ROM",
        BootSector = "boot sector", BootLoader = "boot loader", Kernel = "kernel";

    private const ulong RomWindow = 0xC0000, RomWindowEnd = 0xE0000, RomStep = 0x800, BiosEnd = 0x100000;
    private const ulong LoaderRom = 0xFFE00000, Flash = 0xFFF00000;

    /// <summary>The owner of a physical address that <paramref name="state"/> executes at.</summary>
    public static string Of(ulong physical, CpuState* state, PhysicalMemory memory, GuestProgress progress)
    {
        switch (physical)
        {
            case >= Flash and <= uint.MaxValue:
                return RomBios;
            case >= MonitorLayout.Base and < Flash:
                return Assist;
            case >= LoaderRom and < MonitorLayout.Base:
                return Loader;
            case >= RomWindowEnd and < BiosEnd:
                return RomBios;
            case >= RomWindow and < RomWindowEnd when FindRom(physical, memory) is { } rom:
                return rom;
            case >= 0x7C00 and < 0x7E00 when progress != GuestProgress.Kernel:
                return BootSector;
        }
        bool paging = (state->Cr0 & ControlRegisters.Cr0PG) != 0;
        bool high = (state->Cr0 & ControlRegisters.Cr0PE) != 0 && physical >= BiosEnd;
        return progress switch
        {
            GuestProgress.Firmware => RomBios,
            GuestProgress.Kernel => Kernel,
            _ => paging || high ? Kernel : BootLoader,
        };
    }

    /// <summary>The ROM (55AAh header at a 2 KiB boundary) that covers the address.</summary>
    private static string? FindRom(ulong physical, PhysicalMemory memory)
    {
        Span<byte> header = stackalloc byte[8];
        for (ulong at = RomWindow; at <= physical;)
        {
            if (!memory.Read(at, header) || header[0] != 0x55 || header[1] != 0xAA || header[2] == 0)
            {
                at += RomStep;
                continue;
            }
            ulong end = at + ((ulong)header[2] * 512);
            if (physical < end)
            {
                bool assist = BitConverter.ToUInt32(header[MonitorImage.MagicOffset..]) == MonitorImage.Magic;
                return at == RomWindow ? VgaBios : assist ? Assist : OptionRom;
            }
            at = (end + RomStep - 1) & ~(RomStep - 1);
        }
        return null;
    }
}
