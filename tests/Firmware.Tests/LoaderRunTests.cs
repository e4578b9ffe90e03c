using System.Runtime.InteropServices;
using System.Text;
using Farm.Assist.Cpu;
using Farm.Assist.Monitor;

namespace Farm.Firmware.Tests;

/// <summary>The loader's code on a processor with shadow RAM behind PAM registers.</summary>
public sealed class LoaderRunTests
{
    [Theory]
    [InlineData(0x10000, false)]
    [InlineData(0x20000, true)]
    [InlineData(0x40000, false)]
    public void Payloads_are_copied_to_their_places_and_the_assist_is_entered(int biosSize, bool cirrus)
    {
        var firmware = Sample.Firmware(biosSize);
        byte[] assist = AssistThatHalts();
        using var board = new Board(LoaderImage.Build(firmware, new AssistImage(assist, 0x20), LoaderStrength.Full), cirrus);

        Assert.Equal(StopReason.Halted, board.Cpu.Run(5_000_000));

        int low = Math.Min(biosSize, 0x20000);
        Assert.Equal(firmware.Bios.Image.ToArray()[^low..], board.Shadow(0x100000 - low, low));
        var vgaBios = firmware.VgaBioses[cirrus ? 1 : 0].Image.ToArray();
        Assert.Equal(vgaBios, board.Shadow(0xC0000, vgaBios.Length));
        Assert.Equal(assist, board.Shadow(0xD0000, assist.Length));
        Assert.Equal(MemoryMap.AssistBlob + 0x21, (uint)board.Rip);
        Assert.Equal([1u, 0u, Board.Signature, 0u], board.EntryRegisters);
        Assert.True(board.RamUntouched, "The loader wrote to the guest's RAM.");
    }

    [Theory]
    [InlineData(0x20000, 0x30, 0x33)]
    [InlineData(0x40000, 0x00, 0x00)]
    public void Shadow_RAM_stays_open_unless_the_bios_must_shadow_itself(int biosSize, byte biosPam, byte extensionPam)
    {
        using var board = new Board(LoaderImage.Build(Sample.Firmware(biosSize), new AssistImage(AssistThatHalts(), 0x20), LoaderStrength.Vm86));

        board.Cpu.Run(5_000_000);

        Assert.Equal([biosPam, 0x33, 0x33, 0x33, 0x33, extensionPam, extensionPam], board.Pam);
    }

    [Fact]
    public void Native_enters_real_mode_at_the_reset_vector()
    {
        var firmware = Sample.Firmware(0x20000);
        byte[] bios = firmware.Bios.Image.ToArray();
        bios[0x1FFF0] = 0xF4;
        firmware = firmware with { Bios = firmware.Bios with { Image = bios } };
        using var board = new Board(LoaderImage.Build(firmware, null, LoaderStrength.Native));

        Assert.Equal(StopReason.Halted, board.Cpu.Run(5_000_000));

        Assert.Equal((0xF000, 0xFFF1ul, false), board.CodePointer);
        Assert.Equal([0u, 0u, 0u, Board.Signature], board.EntryRegisters);
        Assert.Contains("entering real mode at F000:FFF0", board.Log);
    }

    [Fact]
    public void The_log_names_each_payload_with_its_sum()
    {
        var image = LoaderImage.Build(Sample.Firmware(0x10000), new AssistImage(AssistThatHalts(), 0x20), LoaderStrength.Vm86);
        using var board = new Board(image);

        board.Cpu.Run(5_000_000);

        Assert.Contains("Farm loader: 4 payloads, assist strength vm86", board.Log);
        Assert.Contains($"Farm loader: rombios at 000F0000h, size 00010000h, sum {image.Payloads[^1].Sum:X8}h", board.Log);
        Assert.Contains("VGABIOS standard at 000C0000h", board.Log);
        Assert.DoesNotContain("VGABIOS cirrus", board.Log);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_damaged_payload_or_closed_shadow_RAM_stops_the_loader(bool damaged)
    {
        var image = LoaderImage.Build(Sample.Firmware(0x10000), new AssistImage(AssistThatHalts(), 0x20), LoaderStrength.Vm86);
        byte[] rom = image.Image.ToArray();
        if (damaged)
            rom[^1000]++; // in the rombios
        using var board = new Board(rom) { ShadowWorks = damaged };

        Assert.Equal(StopReason.Halted, board.Cpu.Run(5_000_000));

        Assert.InRange((uint)board.Rip, MemoryMap.LoaderRom, MemoryMap.LoaderRom + 0x1000);
        Assert.Contains(damaged ? "rombios" : "VGABIOS", board.Log);
        Assert.EndsWith("halted\n", board.Log);
        Assert.Contains(", expected ", board.Log);
    }

    private static byte[] AssistThatHalts()
    {
        byte[] assist = Sample.Bytes(6000, 9);
        assist[0x20] = 0xF4;
        return assist;
    }

    /// <summary>Loader ROM, shadow RAM with PAM, 1 MiB of RAM filled with a pattern, the assist's RAM.</summary>
    private sealed unsafe class Board : ICpuDoor, IDisposable
    {
        public const uint Signature = 0x683;
        private const int RamSize = 0x100000;
        private readonly byte* _ram = (byte*)NativeMemory.AlignedAlloc(RamSize, 4096);
        private readonly byte* _rom = (byte*)NativeMemory.AlignedAlloc(MemoryMap.LoaderRomLimit, 4096);
        private readonly byte* _private = (byte*)NativeMemory.AlignedAlloc(MemoryMap.AssistRamSize, 4096);
        private readonly PhysicalMemory _memory = new();
        private readonly StringBuilder _log = new();
        private readonly bool _cirrus;
        private uint _pciAddress;
        private byte _sequencerIndex, _unlock;

        public Board(LoaderImage image, bool cirrus = false)
            : this(image.Image.ToArray(), cirrus)
        {
        }

        public Board(byte[] image, bool cirrus = false)
        {
            _cirrus = cirrus;
            new Span<byte>(_ram, RamSize).Fill(0xA5);
            new Span<byte>(_rom, MemoryMap.LoaderRomLimit).Fill(0xFF);
            image.CopyTo(new Span<byte>(_rom, MemoryMap.LoaderRomLimit));
            _memory.Map(0, MemoryMap.VgaWindow, _ram, PageKind.Readable | PageKind.Writable);
            _memory.Map(MemoryMap.LoaderRom, MemoryMap.LoaderRomLimit, _rom, PageKind.Readable);
            _memory.Map(MemoryMap.AssistRam, MemoryMap.AssistRamSize, _private, PageKind.Readable | PageKind.Writable);
            Cpu = new X86Cpu(_memory, this);
            var state = Cpu.State;
            state->Cr0 = ControlRegisters.Cr0PE | ControlRegisters.Cr0ET;
            state->Rflags = 2;
            state->Rip = MemoryMap.LoaderRom;
            state->Gpr[2] = Signature;
            state->Cs = new SegmentCache { Selector = 8, Limit = uint.MaxValue, Access = 0xC09B };
            state->Ds = state->Es = state->Fs = state->Gs = state->Ss = new SegmentCache { Selector = 0x10, Limit = uint.MaxValue, Access = 0xC093 };
        }

        public X86Cpu Cpu { get; }

        public bool ShadowWorks { get; init; } = true;

        public byte[] Pam { get; } = new byte[7];

        public string Log => _log.ToString();

        public ulong Rip => Cpu.State->Rip;

        public (int Selector, ulong Rip, bool Protected) CodePointer => (Cpu.State->Cs.Selector, Cpu.State->Rip, Cpu.ProtectedMode);

        /// <summary>EAX, EBX, ECX, EDX.</summary>
        public uint[] EntryRegisters => [(uint)Cpu.State->Gpr[0], (uint)Cpu.State->Gpr[3], (uint)Cpu.State->Gpr[1], (uint)Cpu.State->Gpr[2]];

        public bool RamUntouched => !new ReadOnlySpan<byte>(_ram, (int)MemoryMap.VgaWindow).ContainsAnyExcept((byte)0xA5);

        public byte[] Shadow(int address, int length) => new Span<byte>(_ram + address, length).ToArray();

        public uint ReadPort(ushort port, int size) => port switch
        {
            0x3C5 when _sequencerIndex == 6 && _cirrus => (_unlock & 0x17) == 0x12 ? 0x12u : 0x0F,
            >= 0xCFC and <= 0xCFF => PamIndex(port) is { } index ? Pam[index] : 0u,
            _ => 0xFF,
        };

        public void WritePort(ushort port, uint value, int size)
        {
            switch (port)
            {
                case 0xE9:
                    _log.Append((char)value);
                    break;
                case 0x3C4:
                    _sequencerIndex = (byte)value;
                    _unlock = (byte)(value >> 8);
                    break;
                case 0xCF8:
                    _pciAddress = value;
                    break;
                case >= 0xCFC and <= 0xCFF when PamIndex(port) is { } index:
                    Pam[index] = (byte)value;
                    MapShadow();
                    break;
            }
        }

        public ulong ReadMmio(ulong address, int size) => ulong.MaxValue;

        public void WriteMmio(ulong address, ulong value, int size)
        {
        }

        public byte AcknowledgeInterrupt() => 8;

        public void Dispose()
        {
            Cpu.Dispose();
            _memory.Dispose();
            NativeMemory.AlignedFree(_ram);
            NativeMemory.AlignedFree(_rom);
            NativeMemory.AlignedFree(_private);
        }

        private int? PamIndex(ushort port)
        {
            uint register = (_pciAddress & 0xFC) + (port - 0xCFCu);
            return (_pciAddress & 0xFFFFFF00) == 0x80000000 && register is >= 0x59 and <= 0x5F ? (int)(register - 0x59) : null;
        }

        /// <summary>Reads and writes enabled together are RAM; anything else is nothing here.</summary>
        private void MapShadow()
        {
            if (!ShadowWorks)
                return;
            Segment(0xF0000, 0x10000, Pam[0] >> 4);
            for (int i = 1; i < 7; i++)
            {
                int at = 0xC0000 + ((i - 1) * 0x8000);
                Segment(at, 0x4000, Pam[i]);
                Segment(at + 0x4000, 0x4000, Pam[i] >> 4);
            }

            void Segment(int at, int length, int bits) =>
                _memory.Map((ulong)at, (ulong)length, (bits & 3) == 3 ? _ram + at : null, PageKind.Readable | PageKind.Writable);
        }
    }
}
