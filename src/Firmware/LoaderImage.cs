using System.Buffers.Binary;
using System.Text;

namespace Farm.Firmware;

/// <summary>What happens after the payloads are in place; the value of the strength word in the loader's parameter block.</summary>
public enum LoaderStrength : ushort
{
    /// <summary>The assist runs real-mode code in virtual-8086 mode.</summary>
    Vm86 = 0,

    /// <summary>The assist's host half interprets all real-mode code.</summary>
    Full = 1,

    /// <summary>No assist: the loader returns the processor to real mode at F000:FFF0.</summary>
    Native = 2,
}

/// <summary>The assist's image and how the loader enters it.</summary>
/// <param name="Image">Goes to <see cref="MemoryMap.AssistBlob"/>.</param>
/// <param name="EntryOffset">Offset of the 32-bit entry in the image.</param>
public sealed record AssistImage(ReadOnlyMemory<byte> Image, uint EntryOffset);

/// <summary>
/// The loader: a ROM image for <see cref="MemoryMap.LoaderRom"/>, entered at its first byte in flat 32-bit protected mode with
/// interrupts off and the processor signature in EDX. It carries the payloads, copies them to their places, verifies them by a
/// 32-bit sum, logs on port E9h and enters the assist (EAX strength, EBX SIPI vector 0, ECX processor signature, EDX vCPU
/// number 0) or, for native, real mode at F000:FFF0.
/// </summary>
/// <remarks>
/// Layout: 0 jump to the code; 8 magic "FLDR"; Ch strength (word); 10h number of payloads; 14h address of the payload table;
/// 18h size of the image. A table entry has 20h bytes: destination, source, size, sum of its dwords, condition, name.
/// The loader uses no RAM of the guest's: its stack lies in the assist's RAM.
/// </remarks>
public sealed class LoaderImage
{
    /// <summary>"FLDR" at offset 8.</summary>
    public const uint Magic = 0x52444C46;
    public const int MagicOffset = 8;
    public const int StrengthOffset = 0xC;
    public const int CountOffset = 0x10;
    public const int TableOffset = 0x14;
    public const int SizeOffset = 0x18;
    public const int HeaderSize = 0x20;
    public const int EntrySize = 0x20;

    /// <summary>Initial stack: the top of the shared page of the assist's RAM.</summary>
    public const uint StackTop = MemoryMap.AssistRam + 0x4000;

    private LoaderImage(byte[] image, IReadOnlyList<LoaderPayload> payloads)
    {
        Image = image;
        Payloads = payloads;
    }

    /// <summary>The bytes for <see cref="MemoryMap.LoaderRom"/>.</summary>
    public ReadOnlyMemory<byte> Image { get; }

    /// <summary>What the loader carries, in the order of its table.</summary>
    public IReadOnlyList<LoaderPayload> Payloads { get; }

    /// <summary>Builds the loader for a firmware set; <paramref name="assist"/> is needed unless <paramref name="strength"/> is native.</summary>
    public static LoaderImage Build(FirmwareSet firmware, AssistImage? assist, LoaderStrength strength)
    {
        if (assist is null && strength != LoaderStrength.Native)
            throw new ArgumentNullException(nameof(assist), $"The strength {strength} needs the assist's image.");
        if (assist is { Image.Length: > (int)(0xE0000 - MemoryMap.AssistBlob) })
            throw new FirmwareException($"The assist's image has {assist.Image.Length} bytes; at most {0xE0000 - MemoryMap.AssistBlob} fit at D0000h.");
        var payloads = Collect(firmware, assist);
        var program = new LoaderProgram(payloads, strength, assist?.EntryOffset ?? 0, closeBios: firmware.Bios.Image.Length > 0x20000);
        byte[] image = program.Link();
        if (image.Length > MemoryMap.LoaderRomLimit)
            throw new FirmwareException($"The loader image has {image.Length} bytes; at most {MemoryMap.LoaderRomLimit} fit at {MemoryMap.LoaderRom:X}h.");
        return new LoaderImage(image, payloads);
    }

    private static List<LoaderPayload> Collect(FirmwareSet firmware, AssistImage? assist)
    {
        List<LoaderPayload> payloads = [];
        bool choose = firmware.VgaBioses.Count > 1;
        foreach (var vgaBios in firmware.VgaBioses)
        {
            bool cirrus = vgaBios.Role == PayloadRole.VgaBiosCirrus;
            var condition = !choose ? LoaderCondition.Always : cirrus ? LoaderCondition.CirrusAdapter : LoaderCondition.StandardAdapter;
            payloads.Add(new(cirrus ? "VGABIOS cirrus" : "VGABIOS standard", MemoryMap.VgaBios, condition, vgaBios.Image));
        }
        if (assist is not null)
            payloads.Add(new("assist", MemoryMap.AssistBlob, LoaderCondition.Assisted, assist.Image));
        var bios = firmware.Bios.Image;
        var low = bios.Length > 0x20000 ? bios[^0x20000..] : bios;
        payloads.Add(new("rombios", MemoryMap.BiosTop - (uint)low.Length, LoaderCondition.Always, low));
        return payloads;
    }
}

/// <summary>When the loader copies a payload.</summary>
public enum LoaderCondition : uint
{
    Always = 0,
    StandardAdapter = 1,
    CirrusAdapter = 2,

    /// <summary>Unless the strength is native.</summary>
    Assisted = 3,
}

/// <summary>A payload as the loader carries it; padded with zeros to a multiple of 4 bytes.</summary>
public sealed record LoaderPayload(string Name, uint Destination, LoaderCondition Condition, ReadOnlyMemory<byte> Bytes)
{
    /// <summary>Sum of the payload's little-endian dwords, modulo 2^32.</summary>
    public uint Sum
    {
        get
        {
            uint sum = 0;
            byte[] padded = Padded();
            for (int i = 0; i < padded.Length; i += 4)
                sum += BinaryPrimitives.ReadUInt32LittleEndian(padded.AsSpan(i));
            return sum;
        }
    }

    internal byte[] Padded()
    {
        byte[] padded = new byte[(Bytes.Length + 3) & ~3];
        Bytes.Span.CopyTo(padded);
        return padded;
    }

    internal byte[] CString() => [.. Encoding.ASCII.GetBytes(Name), 0];
}
