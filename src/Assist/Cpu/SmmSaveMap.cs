using System.Buffers.Binary;

namespace Farm.Assist.Cpu;

/// <summary>
/// The state save area of system management mode: the last 512 bytes of the segment at SMBASE + 8000h. Processors without long mode
/// write the P6 map (SDM vol. 3, table 32-1; hidden parts of segments in its reserved bytes), those with it the AMD64 map (APM vol. 2,
/// table 10-1), as BIOSes written for emulators expect.
/// </summary>
internal readonly ref struct SmmSaveMap(Span<byte> bytes, bool wide)
{
    /// <summary>Where the area lies, from SMBASE.</summary>
    public const uint Offset = 0xFE00;
    public const int Size = 0x200;

    /// <summary>SMBASE can be relocated; the low byte tells the AMD64 map.</summary>
    private const uint Revision32 = 0x20000, Revision64 = 0x20064;

    private readonly Span<byte> _bytes = bytes;

    /// <summary>Fills the area with a state.</summary>
    public unsafe void Save(CpuState* state)
    {
        _bytes.Clear();
        if (wide)
            SaveWide(state);
        else
            SaveNarrow(state);
    }

    /// <summary>The state as the handler has left it in the area, on top of what the area does not hold.</summary>
    public unsafe void Restore(CpuState* state)
    {
        if (wide)
            RestoreWide(state);
        else
            RestoreNarrow(state);
    }

    private unsafe void SaveNarrow(CpuState* state)
    {
        Put32(0x1FC, (uint)state->Cr0);
        Put32(0x1F8, (uint)state->Cr3);
        Put32(0x1F4, (uint)state->Rflags);
        Put32(0x1F0, (uint)state->Rip);
        for (int i = 0; i < 8; i++)
            Put32(Narrow.Register(i), (uint)state->Gpr[i]);
        Put32(0x1CC, (uint)state->Dr[6]);
        Put32(0x1C8, (uint)state->Dr[7]);
        SegmentCache* segments = &state->Es;
        for (int i = 0; i < 6; i++)
            PutNarrow(Narrow.Selector(i), Narrow.Hidden(i), segments[i]);
        PutNarrow(0x1C4, 0x15C, state->Tr);
        PutNarrow(0x1C0, 0x178, state->Ldtr);
        Put32(0x174, (uint)state->Gdtr.Base);
        Put32(0x170, state->Gdtr.Limit);
        Put32(0x158, (uint)state->Idtr.Base);
        Put32(0x154, state->Idtr.Limit);
        Put32(0x114, (uint)state->Cr4);
        _bytes[0x102] = Halted(state);
        Put32(0xFC, Revision32);
        Put32(0xF8, state->Smbase);
    }

    private unsafe void RestoreNarrow(CpuState* state)
    {
        state->Cr0 = Get32(0x1FC);
        state->Cr3 = Get32(0x1F8);
        state->Rflags = Get32(0x1F4);
        state->Rip = Get32(0x1F0);
        for (int i = 0; i < 8; i++)
            state->Gpr[i] = Get32(Narrow.Register(i));
        state->Dr[6] = Get32(0x1CC);
        state->Dr[7] = Get32(0x1C8);
        SegmentCache* segments = &state->Es;
        for (int i = 0; i < 6; i++)
            segments[i] = GetNarrow(Narrow.Selector(i), Narrow.Hidden(i));
        state->Tr = GetNarrow(0x1C4, 0x15C);
        state->Ldtr = GetNarrow(0x1C0, 0x178);
        state->Gdtr = new DescriptorTable { Base = Get32(0x174), Limit = Get32(0x170) & 0xFFFF };
        state->Idtr = new DescriptorTable { Base = Get32(0x158), Limit = Get32(0x154) & 0xFFFF };
        state->Cr4 = Get32(0x114);
        state->Activity = RestoredActivity(0x102);
        state->Smbase = Get32(0xF8);
    }

    private unsafe void SaveWide(CpuState* state)
    {
        SegmentCache* segments = &state->Es;
        for (int i = 0; i < 6; i++)
            PutWide(i * 16, segments[i]);
        PutWide(0x70, state->Ldtr);
        PutWide(0x90, state->Tr);
        Put32(0x64, state->Gdtr.Limit);
        Put64(0x68, state->Gdtr.Base);
        Put32(0x84, state->Idtr.Limit);
        Put64(0x88, state->Idtr.Base);
        _bytes[0xC9] = Halted(state);
        Put64(0xD0, state->Efer);
        Put32(0xFC, Revision64);
        Put32(0x100, state->Smbase);
        Put64(0x148, state->Cr4);
        Put64(0x150, state->Cr3);
        Put64(0x158, state->Cr0);
        Put64(0x160, state->Dr[7]);
        Put64(0x168, state->Dr[6]);
        Put64(0x170, state->Rflags);
        Put64(0x178, state->Rip);
        for (int i = 0; i < 16; i++)
            Put64(0x1F8 - (i * 8), state->Gpr[i]);
    }

    private unsafe void RestoreWide(CpuState* state)
    {
        SegmentCache* segments = &state->Es;
        for (int i = 0; i < 6; i++)
            segments[i] = GetWide(i * 16);
        state->Ldtr = GetWide(0x70);
        state->Tr = GetWide(0x90);
        state->Gdtr = new DescriptorTable { Limit = Get32(0x64) & 0xFFFF, Base = Get64(0x68) };
        state->Idtr = new DescriptorTable { Limit = Get32(0x84) & 0xFFFF, Base = Get64(0x88) };
        state->Activity = RestoredActivity(0xC9);
        state->Efer = Get64(0xD0);
        state->Smbase = Get32(0x100);
        state->Cr4 = Get64(0x148);
        state->Cr3 = Get64(0x150);
        state->Cr0 = Get64(0x158);
        state->Dr[7] = Get64(0x160);
        state->Dr[6] = Get64(0x168);
        state->Rflags = Get64(0x170);
        state->Rip = Get64(0x178);
        for (int i = 0; i < 16; i++)
            state->Gpr[i] = Get64(0x1F8 - (i * 8));
    }

    /// <summary>Auto-HALT restart: 1 when the SMI came in HLT; what the handler leaves decides where RSM goes.</summary>
    private static unsafe byte Halted(CpuState* state) => state->Activity == Activity.Halted ? (byte)1 : (byte)0;

    private Activity RestoredActivity(int place) => (_bytes[place] & 1) != 0 ? Activity.Halted : Activity.Active;

    private void PutNarrow(int selector, int hidden, in SegmentCache segment)
    {
        Put32(selector, segment.Selector);
        Put32(hidden, Attributes(segment));
        Put32(hidden + 4, segment.Limit);
        Put32(hidden + 8, (uint)segment.Base);
    }

    private SegmentCache GetNarrow(int selector, int hidden) => new()
    {
        Selector = (ushort)Get32(selector),
        Access = Access(Get32(hidden)),
        Limit = Get32(hidden + 4),
        Base = Get32(hidden + 8),
    };

    private void PutWide(int at, in SegmentCache segment)
    {
        Put32(at, segment.Selector | (Attributes(segment) << 16));
        Put32(at + 4, segment.Limit);
        Put64(at + 8, segment.Base);
    }

    private SegmentCache GetWide(int at) => new()
    {
        Selector = (ushort)Get32(at),
        Access = Access(Get32(at) >> 16),
        Limit = Get32(at + 4),
        Base = Get64(at + 8),
    };

    private static uint Attributes(in SegmentCache segment) => segment.Access & 0xF0FF;

    /// <summary>No segment register holds one that is not present: it is null.</summary>
    private static uint Access(uint attributes) => (attributes & 0xF0FF) | ((attributes & 0x80) != 0 ? 0 : 0x10000u);

    private void Put32(int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_bytes[at..], value);

    private void Put64(int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(_bytes[at..], value);

    private uint Get32(int at) => BinaryPrimitives.ReadUInt32LittleEndian(_bytes[at..]);

    private ulong Get64(int at) => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[at..]);

    /// <summary>Places in the P6 map.</summary>
    private static class Narrow
    {
        public static int Register(int number) => 0x1D0 + (number * 4);

        public static int Selector(int segment) => 0x1A8 + (segment * 4);

        /// <summary>Attributes, limit and base, as emulators lay them into the reserved bytes.</summary>
        public static int Hidden(int segment) => segment < 3 ? 0x184 + (segment * 12) : 0x12C + ((segment - 3) * 12);
    }
}
