using Farm.Machine.Devices.Vga;

namespace Farm.Machine.Tests.Vga;

/// <summary>Register values of the standard modes (IBM VGA Technical Reference, video parameter tables) and a programmer for them.</summary>
internal sealed record VgaMode(byte Output, byte[] Sequencer, byte[] Crtc, byte[] Attribute, byte[] Graphics)
{
    private static readonly byte[] ColorPalette = [0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F];
    private static readonly byte[] IdentityPalette = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    /// <summary>80 x 25, 9 x 16 characters.</summary>
    public static readonly VgaMode Text80x25 = new(0x67, [0x03, 0x00, 0x03, 0x00, 0x02],
        [0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF],
        [.. ColorPalette, 0x0C, 0x00, 0x0F, 0x08, 0x00], [0, 0, 0, 0, 0, 0x10, 0x0E, 0x00, 0xFF]);

    /// <summary>40 x 25.</summary>
    public static readonly VgaMode Text40x25 = Text80x25 with
    {
        Sequencer = [0x03, 0x08, 0x03, 0x00, 0x02],
        Crtc = [0x2D, 0x27, 0x28, 0x90, 0x2B, 0xA0, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x14, 0x1F, 0x96, 0xB9, 0xA3, 0xFF],
    };

    /// <summary>Monochrome 80 x 25 at B0000h and 3B4h.</summary>
    public static readonly VgaMode Mono80x25 = Text80x25 with
    {
        Output = 0x66,
        Crtc = [0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0x0F, 0x96, 0xB9, 0xA3, 0xFF],
        Attribute = [0, 8, 8, 8, 8, 8, 8, 8, 0x10, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x0E, 0x00, 0x0F, 0x08, 0x00],
        Graphics = [0, 0, 0, 0, 0, 0x10, 0x0A, 0x00, 0xFF],
    };

    /// <summary>Mode 4: 320 x 200 in 4 colours, CGA interleave.</summary>
    public static readonly VgaMode Cga4 = new(0x63, [0x03, 0x09, 0x03, 0x00, 0x02],
        [0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xA2, 0xFF],
        [.. IdentityPalette, 0x01, 0x00, 0x03, 0x00, 0x00], [0, 0, 0, 0, 0, 0x30, 0x0F, 0x00, 0xFF]);

    /// <summary>Mode 6: 640 x 200 in 2 colours.</summary>
    public static readonly VgaMode Cga6 = new(0x63, [0x03, 0x01, 0x01, 0x00, 0x06],
        [0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0x00, 0x96, 0xB9, 0xC2, 0xFF],
        [.. IdentityPalette, 0x01, 0x00, 0x01, 0x00, 0x00], [0, 0, 0, 0, 0, 0x00, 0x0D, 0x00, 0xFF]);

    /// <summary>Mode 0Dh: 320 x 200 in 16 colours.</summary>
    public static readonly VgaMode Ega0D = new(0x63, [0x03, 0x09, 0x0F, 0x00, 0x06],
        [0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC0, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xE3, 0xFF],
        [.. IdentityPalette, 0x01, 0x00, 0x0F, 0x00, 0x00], [0, 0, 0, 0, 0, 0x00, 0x05, 0x0F, 0xFF]);

    /// <summary>Mode 12h: 640 x 480 in 16 colours.</summary>
    public static readonly VgaMode Vga12 = new(0xE3, [0x03, 0x01, 0x0F, 0x00, 0x06],
        [0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0, 0, 0, 0, 0, 0, 0xEA, 0x8C, 0xDF, 0x28, 0x00, 0xE7, 0x04, 0xE3, 0xFF],
        [.. IdentityPalette, 0x01, 0x00, 0x0F, 0x00, 0x00], [0, 0, 0, 0, 0, 0x00, 0x05, 0x0F, 0xFF]);

    /// <summary>Mode 13h: 320 x 200 in 256 colours, chain-4.</summary>
    public static readonly VgaMode Vga13 = new(0x63, [0x03, 0x01, 0x0F, 0x00, 0x0E],
        [0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x41, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF],
        [.. IdentityPalette, 0x41, 0x00, 0x0F, 0x00, 0x00], [0, 0, 0, 0, 0, 0x40, 0x05, 0x0F, 0xFF]);

    /// <summary>Mode X: 320 x 240 in 256 colours, unchained (Abrash, Graphics Programming Black Book, chapter 47).</summary>
    public static readonly VgaMode ModeX = Vga13 with
    {
        Output = 0xE3,
        Sequencer = [0x03, 0x01, 0x0F, 0x00, 0x06],
        Crtc = [0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0D, 0x3E, 0x00, 0x41, 0, 0, 0, 0, 0, 0, 0xEA, 0xAC, 0xDF, 0x28, 0x00, 0xE7, 0x06, 0xE3, 0xFF],
    };

    public void Program(VgaDevice vga)
    {
        vga.WritePort(0x3C2, Output, 1);
        ushort crtc = (ushort)((Output & 1) != 0 ? 0x3D4 : 0x3B4);
        for (byte i = 0; i < Sequencer.Length; i++)
            vga.WriteIndexed(0x3C4, i, Sequencer[i]);
        vga.WriteIndexed(crtc, 0x11, 0);
        for (byte i = 0; i < Crtc.Length; i++)
            vga.WriteIndexed(crtc, i, Crtc[i]);
        for (byte i = 0; i < Graphics.Length; i++)
            vga.WriteIndexed(0x3CE, i, Graphics[i]);
        vga.ReadPort((ushort)(crtc + 6), 1);
        for (byte i = 0; i < Attribute.Length; i++)
        {
            vga.WritePort(0x3C0, i, 1);
            vga.WritePort(0x3C0, Attribute[i], 1);
        }
        vga.WritePort(0x3C0, 0x20, 1);
    }
}

internal static class VgaTestExtensions
{
    /// <summary>The colours of the 16-colour BIOS palette as the DAC's 6-bit components, at the places the default palette refers to.</summary>
    private static readonly byte[] EgaColors =
    [
        0, 0, 0, 0, 0, 42, 0, 42, 0, 0, 42, 42, 42, 0, 0, 42, 0, 42, 42, 21, 0, 42, 42, 42,
        21, 21, 21, 21, 21, 63, 21, 63, 21, 21, 63, 63, 63, 21, 21, 63, 21, 63, 63, 63, 21, 63, 63, 63,
    ];

    public static void WriteIndexed(this VgaDevice vga, ushort port, byte index, byte value)
    {
        vga.WritePort(port, index, 1);
        vga.WritePort((ushort)(port + 1), value, 1);
    }

    public static byte ReadIndexed(this VgaDevice vga, ushort port, byte index)
    {
        vga.WritePort(port, index, 1);
        return (byte)vga.ReadPort((ushort)(port + 1), 1);
    }

    public static void WriteDispi(this VgaDevice vga, DispiRegister register, int value)
    {
        vga.WritePort(0x1CE, (uint)register, 2);
        vga.WritePort(0x1CF, (uint)value, 2);
    }

    public static int ReadDispi(this VgaDevice vga, DispiRegister register)
    {
        vga.WritePort(0x1CE, (uint)register, 2);
        return (int)vga.ReadPort(0x1CF, 2);
    }

    public static void WriteByte(this VgaDevice vga, ulong address, int value) => vga.WriteMmio(address, (byte)value, 1);

    public static byte ReadByte(this VgaDevice vga, ulong address) => (byte)vga.ReadMmio(address, 1);

    public static void SetColor(this VgaDevice vga, int index, int red, int green, int blue)
    {
        vga.WritePort(0x3C8, (uint)index, 1);
        vga.WritePort(0x3C9, (uint)red, 1);
        vga.WritePort(0x3C9, (uint)green, 1);
        vga.WritePort(0x3C9, (uint)blue, 1);
    }

    /// <summary>Entries 0-15, and 38h-3Fh and 14h where the text modes' palette looks.</summary>
    public static void LoadEgaColors(this VgaDevice vga)
    {
        for (int i = 0; i < 16; i++)
        {
            vga.SetColor(i, EgaColors[i * 3], EgaColors[i * 3 + 1], EgaColors[i * 3 + 2]);
            if (i == 6)
                vga.SetColor(0x14, EgaColors[i * 3], EgaColors[i * 3 + 1], EgaColors[i * 3 + 2]);
            if (i >= 8)
                vga.SetColor(0x30 + i, EgaColors[i * 3], EgaColors[i * 3 + 1], EgaColors[i * 3 + 2]);
        }
    }

    /// <summary>Loads a glyph as BIOSes do: plane 2 alone at A0000h, then back to text addressing.</summary>
    public static void LoadGlyph(this VgaDevice vga, int character, ReadOnlySpan<byte> rows, int font = 0)
    {
        byte[] saved = [vga.ReadIndexed(0x3C4, 2), vga.ReadIndexed(0x3C4, 4), vga.ReadIndexed(0x3CE, 4), vga.ReadIndexed(0x3CE, 5), vga.ReadIndexed(0x3CE, 6)];
        vga.WriteIndexed(0x3C4, 2, 4);
        vga.WriteIndexed(0x3C4, 4, 7);
        vga.WriteIndexed(0x3CE, 4, 2);
        vga.WriteIndexed(0x3CE, 5, 0);
        vga.WriteIndexed(0x3CE, 6, 4);
        for (int i = 0; i < rows.Length; i++)
            vga.WriteByte(0xA0000ul + (ulong)(font * 0x2000 + character * 32 + i), rows[i]);
        vga.WriteIndexed(0x3C4, 2, saved[0]);
        vga.WriteIndexed(0x3C4, 4, saved[1]);
        vga.WriteIndexed(0x3CE, 4, saved[2]);
        vga.WriteIndexed(0x3CE, 5, saved[3]);
        vga.WriteIndexed(0x3CE, 6, saved[4]);
    }

    public static void Print(this VgaDevice vga, int row, int column, string text, byte attribute = 7, int columns = 80, ulong window = 0xB8000)
    {
        for (int i = 0; i < text.Length; i++)
            vga.WriteMmio(window + (ulong)(2 * (row * columns + column + i)), (ulong)(attribute << 8 | text[i]), 2);
    }
}
