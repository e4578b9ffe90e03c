using System.Buffers.Binary;
using System.Text;

namespace Farm.Firmware.Tests;

public sealed class LoaderImageTests
{
    [Fact]
    public void The_table_describes_each_payload()
    {
        var firmware = Sample.Firmware(0x20000);
        byte[] assist = Sample.Bytes(5000, 7);

        byte[] image = LoaderImage.Build(firmware, new AssistImage(assist, 0x20), LoaderStrength.Full).Image.ToArray();

        Assert.Equal(LoaderImage.Magic, Word(image, LoaderImage.MagicOffset));
        Assert.Equal(1u, Word(image, LoaderImage.StrengthOffset));
        Assert.Equal((uint)image.Length, Word(image, LoaderImage.SizeOffset));
        Assert.Equal(4u, Word(image, LoaderImage.CountOffset));
        int table = (int)(Word(image, LoaderImage.TableOffset) - MemoryMap.LoaderRom);
        (string, uint, byte[])[] expected =
        [
            ("VGABIOS standard", 0xC0000, firmware.VgaBioses[0].Image.ToArray()),
            ("VGABIOS cirrus", 0xC0000, firmware.VgaBioses[1].Image.ToArray()),
            ("assist", 0xD0000, assist),
            ("rombios", 0xE0000, firmware.Bios.Image.ToArray()),
        ];
        for (int i = 0; i < expected.Length; i++)
        {
            var (name, destination, bytes) = expected[i];
            int entry = table + (i * LoaderImage.EntrySize);
            int source = (int)(Word(image, entry + 4) - MemoryMap.LoaderRom);
            int text = (int)(Word(image, entry + 20) - MemoryMap.LoaderRom);
            Assert.Equal(destination, Word(image, entry));
            Assert.Equal((uint)bytes.Length, Word(image, entry + 8));
            Assert.Equal(bytes, image.AsSpan(source, bytes.Length));
            Assert.Equal(name, Encoding.ASCII.GetString(image, text, name.Length));
        }
    }

    [Theory]
    [InlineData(0x10000, 0xF0000u, 0)]
    [InlineData(0x20000, 0xE0000u, 0)]
    [InlineData(0x40000, 0xE0000u, 0x20000)]
    public void The_bios_ends_at_1_MiB(int size, uint destination, int skipped)
    {
        var firmware = Sample.Firmware(size);

        var payload = LoaderImage.Build(firmware, null, LoaderStrength.Native).Payloads[^1];

        Assert.Equal(destination, payload.Destination);
        Assert.Equal(firmware.Bios.Image[skipped..].ToArray(), payload.Bytes.ToArray());
    }

    [Fact]
    public void A_loader_with_an_assisted_strength_needs_the_assist()
    {
        Assert.Throws<ArgumentNullException>(() => LoaderImage.Build(Sample.Firmware(0x10000), null, LoaderStrength.Vm86));
    }

    [Fact]
    public void An_assist_beyond_64_KiB_is_refused()
    {
        Assert.Throws<FirmwareException>(() =>
            LoaderImage.Build(Sample.Firmware(0x10000), new AssistImage(new byte[0x10001], 0), LoaderStrength.Vm86));
    }

    private static uint Word(byte[] image, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(image.AsSpan(offset));
}
