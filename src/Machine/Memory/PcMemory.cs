using Farm.Assist.Cpu;
using Farm.Firmware;
using Farm.Machine.Bus;

namespace Farm.Machine.Memory;

/// <summary>
/// RAM, shadow RAM and ROM of the PC, laid into the physical map: conventional memory to A0000h, the VGA window (a hole), shadow RAM
/// C0000h-FFFFFh governed by the i440FX's PAM registers, memory from 1 MiB to the PCI hole, the rest above 4 GiB, the loader ROM and the
/// BIOS flash below 4 GiB (docs/memory-map.md).
/// </summary>
public sealed unsafe class PcMemory : IDisposable, IGuestMemory
{
    public const ulong ShadowStart = MemoryMap.VgaBios;
    public const ulong ShadowEnd = MemoryMap.BiosTop;

    private const ulong SmramStart = 0xA0000, SmramLength = 0x20000;
    private const PageKind Ram = PageKind.Readable | PageKind.Writable;
    private const int ShadowPages = (int)((ShadowEnd - ShadowStart) >> PhysicalMemory.PageShift);

    private readonly HostMemory _ram;
    private readonly HostMemory _flash;
    private readonly HostMemory _loader;
    private readonly HostMemory _private;
    private readonly bool[] _pamRead = new bool[ShadowPages];
    private readonly bool[] _pamWrite = new bool[ShadowPages];
    private bool _smramVisible;
    private (ulong Start, ulong Length, nint Host) _video;

    public PcMemory(PhysicalMemory map, MemoryMap layout, ReadOnlySpan<byte> flash, ReadOnlySpan<byte> loader)
    {
        Map = map;
        Layout = layout;
        _ram = new HostMemory(layout.RamBytes);
        _flash = new HostMemory(flash);
        _loader = new HostMemory(loader);
        _private = new HostMemory(MemoryMap.AssistRamSize);
        foreach (var range in layout.Ranges)
        {
            switch (range.Kind)
            {
                case MemoryRangeKind.Ram:
                    Map.Map(range.Start, range.Length, RamAt(range.Start), Ram);
                    break;
                case MemoryRangeKind.Shadow:
                    SetShadow(range.Start, range.Length, read: false, write: false);
                    break;
                case MemoryRangeKind.Private:
                    Map.Map(range.Start, range.Length, _private.Start, Ram);
                    break;
                case MemoryRangeKind.Rom when range.Start == MemoryMap.LoaderRom:
                    Map.Map(range.Start, _loader.Length, _loader.Start, PageKind.Readable);
                    break;
                case MemoryRangeKind.Rom:
                    Map.Map(range.Start, range.Length, _flash.Start, PageKind.Readable);
                    break;
                case MemoryRangeKind.Mmio:
                default:
                    break;
            }
        }
    }

    public MemoryMap Layout { get; }

    public PhysicalMemory Map { get; }

    /// <summary>
    /// PAM: reads of the range go to RAM or to the ROM behind it (the BIOS flash from E0000h up, nothing below), writes to RAM or nowhere.
    /// </summary>
    public void SetShadow(ulong start, ulong length, bool read, bool write)
    {
        for (ulong page = start; page < start + length; page += PhysicalMemory.PageSize)
        {
            int index = (int)((page - ShadowStart) >> PhysicalMemory.PageShift);
            _pamRead[index] = read;
            _pamWrite[index] = write;
            byte* rom = FlashBehind(page);
            if (read)
                Map.Map(page, PhysicalMemory.PageSize, _ram.Start + page, write ? Ram : PageKind.Readable);
            else if (rom != null && !write)
                Map.Map(page, PhysicalMemory.PageSize, rom, PageKind.Readable);
            else
                Map.Map(page, PhysicalMemory.PageSize, null, PageKind.Mmio);
        }
    }

    /// <summary>Shows the RAM behind the VGA window, which is system management memory, or the window.</summary>
    public void ShowSmram(bool visible)
    {
        if (visible == _smramVisible)
            return;
        _smramVisible = visible;
        Map.Map(SmramStart, SmramLength, visible ? _ram.Start + SmramStart : null, visible ? Ram : PageKind.Mmio);
        if (!visible && _video.Host != 0)
            Map.Map(_video.Start, _video.Length, (byte*)_video.Host, Ram);
    }

    /// <summary>Shows host memory in a part of the VGA window, or with 0 the device again.</summary>
    public void ShowVideo(ulong start, int length, nint host)
    {
        _video = (start, (ulong)length, host);
        if (!_smramVisible)
            Map.Map(start, (ulong)length, (byte*)host, host != 0 ? Ram : PageKind.Mmio);
    }

    /// <summary>A read in C0000h-FFFFFh that the map does not answer: ROM behind write-only shadow RAM, else nothing.</summary>
    public ulong ReadShadow(ulong address, int size)
    {
        byte* rom = FlashBehind(address & ~0xFFFul);
        if (rom == null)
            return ulong.MaxValue >> (64 - (8 * size));
        ulong value = 0;
        for (int i = 0; i < size; i++)
            value |= (ulong)rom[(address & 0xFFF) + (ulong)i] << (8 * i);
        return value;
    }

    /// <summary>A write in C0000h-FFFFFh that the map does not take: into write-only shadow RAM, else dropped.</summary>
    public void WriteShadow(ulong address, ulong value, int size)
    {
        int index = (int)((address - ShadowStart) >> PhysicalMemory.PageShift);
        if (!_pamWrite[index] || _pamRead[index])
            return;
        for (int i = 0; i < size; i++)
            _ram.Start[address + (ulong)i] = (byte)(value >> (8 * i));
    }

    /// <inheritdoc/>
    public bool Read(ulong address, Span<byte> destination) => Map.Read(address, destination);

    /// <inheritdoc/>
    public bool Write(ulong address, ReadOnlySpan<byte> source) => Map.Write(address, source);

    private byte* RamAt(ulong address) => _ram.Start + (address < 1ul << 32 ? address : address - (1ul << 32) + Layout.RamBelow4G);

    /// <summary>The low part of the flash, as the chipset shows it below 1 MiB: its last 128 KiB at E0000h.</summary>
    private byte* FlashBehind(ulong page)
    {
        if (page < 0xE0000)
            return null;
        ulong fromEnd = ShadowEnd - page;
        return fromEnd <= _flash.Length ? _flash.Start + (_flash.Length - fromEnd) : null;
    }

    public void Dispose()
    {
        _ram.Dispose();
        _flash.Dispose();
        _loader.Dispose();
        _private.Dispose();
    }
}
