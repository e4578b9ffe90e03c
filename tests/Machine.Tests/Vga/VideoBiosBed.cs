using System.Runtime.InteropServices;
using Farm.Assist.Cpu;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Chipset;
using Farm.Machine.Devices.Pci;
using Farm.Machine.Devices.Vga;
using Farm.Machine.Devices.Vga.Cirrus;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Vga;

/// <summary>A processor in real mode, 1 MiB of RAM, an adapter on the PCI bus and its real VGABIOS at C0000h: nothing else of a PC.</summary>
internal sealed unsafe class VideoBiosBed : ICpuDoor, IDisposable
{
    private const int RamSize = 1 << 20;
    private const uint BiosAt = 0xC0000;
    private const int CodeAt = 0x600;
    private const int InterruptReturnAt = 0x5F0;
    private const ulong Budget = 60_000_000;

    private readonly byte* _ram = (byte*)NativeMemory.AlignedAlloc(RamSize, 4096);
    private readonly PhysicalMemory _memory = new(32);
    private readonly VirtualClock _clock = new();
    private readonly PortBus _ports;
    private readonly MmioBus _mmio;
    private readonly X86Cpu _cpu;

    private VideoBiosBed(string path, bool cirrus)
    {
        NativeMemory.Clear(_ram, RamSize);
        _memory.Map(0, RamSize, _ram, PageKind.Readable | PageKind.Writable);
        _memory.Map(VgaDevice.WindowBase, VgaDevice.WindowSize, null, PageKind.Mmio);
        var events = new EventLog(_clock);
        _ports = new PortBus(events);
        _mmio = new MmioBus(events);
        Vga = cirrus ? new CirrusVga(_clock) : new VgaDevice(_clock);
        Screen = new ScreenReader(Vga);
        _ports.Map(Vga);
        _mmio.Map(Vga.Name, Vga, VgaDevice.WindowBase, VgaDevice.WindowSize);
        var pci = new PciBus(_ports, _mmio, new SystemControl(), 0x1000_0000);
        _ports.Map(pci);
        pci.Add(0, 0, new HostBridge());
        pci.Add(2, 0, Vga is CirrusVga adapter ? new CirrusPciVga(adapter, _memory) : new BochsPciVga(Vga, _memory));
        _cpu = new X86Cpu(_memory, this, CpuModel.P3);
        EnterRealMode(_cpu.State);
        _clock.Source = () => (long)_cpu.InstructionCount * 10;

        Put(BiosAt, File.ReadAllBytes(path));
        for (int vector = 0; vector < 256; vector++)
            Put((uint)vector * 4, [InterruptReturnAt & 0xFF, InterruptReturnAt >> 8, 0, 0]);
        Put(InterruptReturnAt, [0xCF]);
        Put(0x449, [0x03]);
        Put(CodeAt, [0x9A, 0x03, 0x00, 0x00, 0xC0, 0xF4]); // call C000:0003; hlt
        Run();
    }

    public VgaDevice Vga { get; }

    public ScreenReader Screen { get; }

    public Span<byte> Ram => new(_ram, RamSize);

    /// <summary>Runs the VGABIOS's initialisation; the test is skipped where the package is not installed.</summary>
    public static VideoBiosBed Start(bool cirrus = false)
    {
        string path = cirrus ? "/usr/share/vgabios/vgabios.cirrus.bin" : "/usr/share/vgabios/vgabios.bin";
        Assert.SkipUnless(File.Exists(path), $"{path} is absent; install the package vgabios.");
        return new VideoBiosBed(path, cirrus);
    }

    /// <summary>INT 10h. Returns AX.</summary>
    public ushort Int10(ushort ax, ushort bx = 0, ushort cx = 0, ushort dx = 0, ushort di = 0)
    {
        Put(CodeAt + 0x40, [0xCD, 0x10, 0xF4]);
        var state = _cpu.State;
        state->Gpr[0] = ax;
        state->Gpr[1] = cx;
        state->Gpr[2] = dx;
        state->Gpr[3] = bx;
        state->Gpr[7] = di;
        state->Rip = CodeAt + 0x40;
        state->Activity = Activity.Active;
        state->Ds = state->Es = SegmentCache.RealMode(0);
        Run();
        return (ushort)_cpu.State->Gpr[0];
    }

    public void Print(string text)
    {
        foreach (char c in text)
            Int10((ushort)(0x0E00 | c), 0x0007);
    }

    public uint ReadPort(ushort port, int size) => _ports.Read(port, size);

    public void WritePort(ushort port, uint value, int size) => _ports.Write(port, value, size);

    public ulong ReadMmio(ulong address, int size) => _mmio.Read(address, size);

    public void WriteMmio(ulong address, ulong value, int size) => _mmio.Write(address, value, size);

    public byte AcknowledgeInterrupt() => 0xFF;

    public void Dispose()
    {
        _cpu.Dispose();
        _memory.Dispose();
        Vga.Dispose();
        NativeMemory.AlignedFree(_ram);
    }

    /// <summary>The VGABIOSes take PCI for absent unless slot 0 answers.</summary>
    private sealed class HostBridge() : PciDevice("host bridge", 0x8086, 0x1237, 0x060000, 2);

    private static void EnterRealMode(CpuState* state)
    {
        state->Cr0 = 0x10;
        state->Rflags = 2;
        state->Cs = state->Ds = state->Es = state->Ss = state->Fs = state->Gs = SegmentCache.RealMode(0);
        state->Idtr = new DescriptorTable { Limit = 0xFFFF };
        state->Gpr[4] = 0x7C00;
        state->Rip = CodeAt;
    }

    private void Put(uint address, ReadOnlySpan<byte> bytes) => _memory.Write(address, bytes);

    private void Run()
    {
        var stop = _cpu.Run(Budget);
        if (stop != StopReason.Halted)
            throw new InvalidOperationException($"The VGABIOS stopped with {stop} at {_cpu.State->Cs.Selector:X4}:{_cpu.State->Rip:X4}.");
    }
}
