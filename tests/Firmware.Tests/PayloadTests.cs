using Farm.Firmware;

namespace Farm.Firmware.Tests;

public sealed class PayloadTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("farm-firmware").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Theory]
    [InlineData("bochs", 0x20000)]
    [InlineData("bochs-legacy", 0x10000)]
    [InlineData("seabios", 0x40000)]
    public void Installed_packages_match_the_manifest(string set, int biosSize)
    {
        if (!File.Exists(PayloadManifest.Default.Find(set, PayloadRole.Bios)!.Path))
            Assert.Skip($"The packages of the firmware set {set} are not installed.");

        var firmware = FirmwareSet.Load(new FirmwareRequest(set));

        Assert.Equal(biosSize, firmware.Bios.Image.Length);
        Assert.Equal([PayloadRole.VgaBiosStandard, PayloadRole.VgaBiosCirrus], firmware.VgaBioses.Select(payload => payload.Role));
    }

    [Fact]
    public void A_missing_payload_names_the_file_and_the_package()
    {
        var error = Assert.Throws<FirmwareException>(() => FirmwareSet.Load(new FirmwareRequest("bochs"), root: _root));

        Assert.Contains(Path.Combine(_root, "usr/share/bochs/BIOS-bochs-latest"), error.Message);
        Assert.Contains("apt-get install bochsbios", error.Message);
    }

    [Fact]
    public void A_wrong_payload_says_what_was_expected_and_what_was_found()
    {
        Put("usr/share/seabios/bios-256k.bin", [.. "xx 9.9.9-debian-9.9.9-1"u8, .. new byte[1000]]);

        var error = Assert.Throws<FirmwareException>(() => FirmwareSet.Load(new FirmwareRequest("seabios"), root: _root));

        Assert.Contains("bios-256k.bin", error.Message);
        Assert.Contains("1023 bytes", error.Message);
        Assert.Contains("9.9.9-debian-9.9.9-1", error.Message);
        Assert.Contains("262144 bytes", error.Message);
        Assert.Contains("1.16.2-debian-1.16.2-1", error.Message);
        Assert.Contains("'seabios'", error.Message);
        Assert.Contains("--bios", error.Message);
    }

    [Theory]
    [InlineData("none.bin", -1)]
    [InlineData("short.bin", 1000)]
    public void A_file_that_the_user_named_is_the_users_mistake(string name, int length)
    {
        string path = Path.Combine(_root, name);
        if (length >= 0)
            File.WriteAllBytes(path, new byte[length]);
        var error = Assert.Throws<FirmwareException>(() => FirmwareSet.Load(new FirmwareRequest("bochs", BiosFile: path)));
        Assert.True(error.OfUsersFile);
        Assert.Contains(path, error.Message);
    }

    [Fact]
    public void One_changed_byte_in_a_payload_is_found()
    {
        var entry = PayloadManifest.Default.Find("bochs", PayloadRole.VgaBiosStandard)!;
        if (!File.Exists(entry.Path))
            Assert.Skip($"{entry.Path} is not installed.");
        byte[] image = File.ReadAllBytes(entry.Path);
        image[0x4000] ^= 1;
        Put(entry.Path.TrimStart('/'), image);

        Assert.Throws<FirmwareException>(() => Payload.Load(entry, _root));
    }

    [Fact]
    public void Any_of_several_accepted_builds_is_taken()
    {
        byte[] image = [.. "Test 2.0 BIOS"u8];
        string path = Put("bios", image);
        var template = new Payload("t", PayloadRole.Bios, path, "", image);
        var entry = new PayloadEntry("test", ["test"], PayloadRole.Bios, "/bios", "testbios", "Test [0-9.]+ BIOS",
        [
            new("Test 1.0 BIOS", "1", 13, new string('0', 64)),
            new("Test 2.0 BIOS", "2", 13, template.Sha256),
        ]);

        Assert.Equal("Test 2.0 BIOS", Payload.Load(entry, _root).Version);
    }

    [Fact]
    public void An_unknown_set_lists_the_known_ones()
    {
        var error = Assert.Throws<FirmwareException>(() => FirmwareSet.Load(new FirmwareRequest("award")));

        Assert.Contains("bochs", error.Message);
        Assert.Contains("seabios", error.Message);
    }

    [Theory]
    [InlineData(0x10000)]
    [InlineData(0x20000)]
    [InlineData(0x40000)]
    public void A_raw_bios_of_a_flash_size_is_taken(int size)
    {
        Assert.Equal(size, Payload.LoadRawBios(Put("raw", new byte[size])).Image.Length);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0xFFFF)]
    [InlineData(0x18000)]
    [InlineData(0x80000)]
    public void A_raw_bios_of_another_size_is_refused(int size)
    {
        var error = Assert.Throws<FirmwareException>(() => Payload.LoadRawBios(Put("raw", new byte[size])));

        Assert.Contains("65536, 131072 or 262144", error.Message);
        Assert.Contains($"{size}", error.Message);
    }

    [Fact]
    public void A_raw_vgabios_with_signature_and_checksum_is_taken()
    {
        byte[] image = OptionRom(1024);

        Assert.Equal(1024, Payload.LoadRawVgaBios(Put("vga", image)).Image.Length);
    }

    [Theory]
    [InlineData("size", "multiple of 512")]
    [InlineData("signature", "signature")]
    [InlineData("length", "header gives a length")]
    [InlineData("checksum", "checksum")]
    public void A_damaged_raw_vgabios_is_refused(string damage, string says)
    {
        byte[] image = OptionRom(1024);
        switch (damage)
        {
            case "size": image = image[..1000]; break;
            case "signature": image[0] = 0; break;
            case "length": image[2] = 3; break;
            default: image[100]++; break;
        }

        var error = Assert.Throws<FirmwareException>(() => Payload.LoadRawVgaBios(Put("vga", image)));

        Assert.Contains(says, error.Message);
    }

    [Fact]
    public void A_vgabios_beyond_64_KiB_is_refused()
    {
        Assert.Throws<FirmwareException>(() => Payload.LoadRawVgaBios(Put("vga", OptionRom(0x10200))));
    }

    [Fact]
    public void A_malformed_manifest_is_one_clear_error()
    {
        using var stream = new MemoryStream("{ \"payloads\": [ { \"name\": 5 } ] }"u8.ToArray());

        var error = Assert.Throws<FirmwareException>(() => PayloadManifest.Parse(stream, "own.json"));

        Assert.StartsWith("own.json:", error.Message);
    }

    private static byte[] OptionRom(int size)
    {
        byte[] image = new byte[size];
        image[0] = 0x55;
        image[1] = 0xAA;
        image[2] = (byte)(size / 512);
        image[^1] = (byte)-(image[0] + image[1] + image[2]);
        return image;
    }

    private string Put(string name, byte[] bytes)
    {
        string path = Path.Combine(_root, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, bytes);
        return path;
    }
}
