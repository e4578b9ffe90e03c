using System.Buffers.Binary;
using Farm.Linking;

namespace Farm.Assist.Monitor;

/// <summary>
/// The guest-resident half of the assist. <see cref="Blob"/> is what the loader puts at D0000h: an option ROM header (55AAh, size,
/// RETF), an entry for flat 32-bit protected mode, and the monitor, which the entry copies to <see cref="MonitorLayout.Base"/>.
/// </summary>
public sealed class MonitorImage
{
    /// <summary>"FAST" at <see cref="MagicOffset"/> of the blob.</summary>
    public const uint Magic = 0x54534146;
    public const int MagicOffset = 4;

    /// <summary>Dword in the blob: offset of its entry.</summary>
    public const int EntryPointerOffset = 8;

    /// <summary>Entry of the blob: EAX strength, EBX SIPI vector, ECX processor signature, EDX processor number.</summary>
    public const uint EntryOffset = 0x20;

    // Option ROMs are found at 2 KiB boundaries.
    private const int RomGranularity = 0x800;

    private MonitorImage(byte[] monitor, byte[] blob, IReadOnlyDictionary<string, uint> labels)
    {
        Monitor = monitor;
        Blob = blob;
        Start = labels["start"];
        CodeEnd = labels["code_end"];
    }

    /// <summary>The monitor proper, linked at <see cref="MonitorLayout.Base"/>.</summary>
    public ReadOnlyMemory<byte> Monitor { get; }

    /// <summary>The image for <see cref="MonitorLayout.BlobBase"/>.</summary>
    public ReadOnlyMemory<byte> Blob { get; }

    /// <summary>Where a processor is started in the monitor, with the registers of the blob's entry.</summary>
    public uint Start { get; }

    /// <summary>End of the monitor's code, which begins at <see cref="MonitorLayout.Base"/>.</summary>
    public uint CodeEnd { get; }

    public static MonitorImage Build()
    {
        var (code, labels) = LinkedCode.Link(MonitorLayout.Base, MonitorProgram.Emit);
        if (code.Length > MonitorLayout.IdtOffset)
            throw new InvalidOperationException($"The monitor's code has {code.Length} bytes and runs into its IDT.");
        byte[] monitor = new byte[MonitorLayout.ImageSize];
        code.CopyTo(monitor, 0);
        WriteIdt(monitor.AsSpan((int)MonitorLayout.IdtOffset), labels);
        WriteGdt(monitor.AsSpan((int)MonitorLayout.GdtOffset));
        return new MonitorImage(monitor, BuildBlob(monitor, labels["start"]), labels);
    }

    /// <summary>Type and DPL of a 32-bit interrupt gate: 0 and 3.</summary>
    internal const byte ClosedGate = 0x8E, OpenGate = 0xEE;

    /// <summary>
    /// 256 interrupt gates. Software interrupts that reach the IDT (INT3 and INTO always, INT n without VME) go through gates of
    /// DPL 3 and are reflected by the monitor; where a vector has an error code, or means an external interrupt, DPL is 0 and the
    /// host half sees a #GP.
    /// </summary>
    private static void WriteIdt(Span<byte> idt, IReadOnlyDictionary<string, uint> labels)
    {
        for (int vector = 0; vector < 256; vector++)
        {
            uint handler = labels[MonitorProgram.GateLabel(vector)];
            bool closed = MonitorProgram.HasErrorCode(vector) || vector == MonitorLayout.InterruptGate;
            var gate = idt[(vector * 8)..];
            BinaryPrimitives.WriteUInt16LittleEndian(gate, (ushort)handler);
            BinaryPrimitives.WriteUInt16LittleEndian(gate[2..], MonitorLayout.CodeSelector);
            gate[5] = closed ? ClosedGate : OpenGate;
            BinaryPrimitives.WriteUInt16LittleEndian(gate[6..], (ushort)(handler >> 16));
        }
    }

    private static void WriteGdt(Span<byte> gdt)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(gdt[MonitorLayout.CodeSelector..], 0x00CF_9B00_0000_FFFF);
        BinaryPrimitives.WriteUInt64LittleEndian(gdt[MonitorLayout.DataSelector..], 0x00CF_9300_0000_FFFF);
        for (int processor = 0; processor < MonitorLayout.MaxProcessors; processor++)
        {
            ulong tss = MonitorLayout.Slice(processor) + MonitorLayout.Tss;
            const ulong Limit = MonitorLayout.TssLimit;
            ulong descriptor = (Limit & 0xFFFF) | ((tss & 0xFFFFFF) << 16) | (0x89ul << 40) | (Limit >> 16 << 48) | (tss >> 24 << 56);
            BinaryPrimitives.WriteUInt64LittleEndian(gdt[MonitorLayout.TssSelector(processor)..], descriptor);
        }
    }

    private static byte[] BuildBlob(byte[] monitor, uint start)
    {
        var (entry, labels) = LinkedCode.Link(MonitorLayout.BlobBase + EntryOffset, code => MonitorProgram.EmitBlobEntry(code, start));
        uint monitorOffset = labels["monitor"] - MonitorLayout.BlobBase;
        byte[] blob = new byte[((int)monitorOffset + monitor.Length + RomGranularity) & ~(RomGranularity - 1)];
        blob[0] = 0x55;
        blob[1] = 0xAA;
        blob[2] = (byte)(blob.Length / 512);
        blob[3] = 0xCB; // RETF: the initialisation entry
        BinaryPrimitives.WriteUInt32LittleEndian(blob.AsSpan(MagicOffset), Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(blob.AsSpan(EntryPointerOffset), EntryOffset);
        // 18h and 1Ah stay 0: no PCI data structure, no PnP header.
        entry.CopyTo(blob, EntryOffset);
        monitor.CopyTo(blob, monitorOffset);
        byte sum = 0;
        foreach (byte value in blob)
            sum += value;
        blob[^1] = (byte)-sum;
        return blob;
    }
}
