using System.Buffers.Binary;
using Farm.Machine.Boot;
using Farm.Machine.Storage;
using Farm.Machine.Tests.Storage;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests.Firmware;

/// <summary>Both BIOSes boot every floppy format, read and write its last track; a disk that is changed is noticed.</summary>
public sealed class FloppyBootTests
{
    private const uint Mark = 0x4B52414D, Written = 0x54545257;

    public static TheoryData<string, string> Formats()
    {
        var data = new TheoryData<string, string>();
        foreach (string firmware in (string[])["bochs", "seabios"])
        {
            foreach (string format in (string[])["160K", "180K", "320K", "360K", "720K", "1.2M", "1.44M", "1.68M", "2.88M"])
                data.Add(firmware, format);
        }
        return data;
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void A_floppy_boots_reads_and_writes_to_its_end(string firmware, string name)
    {
        using var folder = new TestFolder();
        var format = FloppyFormat.Standard.Single(candidate => candidate.Name == name);
        // SeaBIOS knows the usual format of a drive only: no sector beyond the 18th of a DMF floppy.
        int last = firmware == "seabios" && name == "1.68M" ? 18 : format.SectorsPerTrack;
        var program = new BootProgram();
        program.Transfer(2, format.Cylinders - 1, format.Heads - 1, last);
        program.Equal(BootProgram.Buffer, Mark);
        program.Put(BootProgram.Buffer, Written);
        program.Transfer(3, format.Cylinders - 1, 0, 1);
        program.Put(BootProgram.Buffer, 0);
        program.Transfer(2, format.Cylinders - 1, 0, 1);
        program.Equal(BootProgram.Buffer, Written);
        program.Print("FORMAT OK");
        byte[] image = Image(format, program);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(image.Length - (format.SectorsPerTrack - last + 1) * 512), Mark);
        string path = folder.File("floppy.img", image);
        var report = FirmwareBed.Passes(FirmwareBed.Machine(firmware) with { Floppies = [path] }, ScriptStep.Expect("FORMAT OK"));
        Assert.Equal(0u, BinaryPrimitives.ReadUInt32LittleEndian(File.ReadAllBytes(path).AsSpan(Offset(format))));
        Assert.NotEmpty(report.DiskWriteHash);
    }

    [Fact]
    public void With_write_the_image_has_what_the_guest_wrote()
    {
        using var folder = new TestFolder();
        var format = FloppyFormat.Standard.Single(candidate => candidate.Name == "1.44M");
        var program = new BootProgram();
        program.Put(BootProgram.Buffer, Written);
        program.Transfer(3, format.Cylinders - 1, 0, 1);
        program.Print("FORMAT OK");
        string path = folder.File("floppy.img", Image(format, program));
        FirmwareBed.Expect(FirmwareBed.Machine("bochs") with { Floppies = [path], WriteThrough = true }, "FORMAT OK");
        Assert.Equal(Written, BinaryPrimitives.ReadUInt32LittleEndian(File.ReadAllBytes(path).AsSpan(Offset(format))));
    }

    [Theory]
    [MemberData(nameof(FirmwareBed.Sets), MemberType = typeof(FirmwareBed))]
    public void A_changed_disk_is_noticed_and_read(string firmware)
    {
        using var folder = new TestFolder();
        var format = FloppyFormat.Standard.Single(candidate => candidate.Name == "1.44M");
        var program = new BootProgram();
        program.Transfer(2, 79, 1, 18);
        program.Equal(BootProgram.Buffer, Mark);
        program.Print("FIRST");
        program.WaitForKey();
        program.Asm.mov(ah, 0x16);
        program.Asm.mov(dl, __byte_ptr[BootProgram.Drive]);
        program.Asm.@int(0x13);
        program.Equal(ah, 6); // the change line is active
        program.Transfer(2, 79, 1, 18);
        program.Equal(BootProgram.Buffer, Written);
        program.Print("SECOND");
        string first = folder.File("first.img", Image(format, program));
        byte[] other = new byte[format.Bytes];
        BinaryPrimitives.WriteUInt32LittleEndian(other.AsSpan(other.Length - 512), Written);
        string second = folder.File("second.img", other);
        FirmwareBed.Passes(
            FirmwareBed.Machine(firmware) with { Floppies = [first] },
            ScriptStep.Expect("FIRST"), new InsertStep("floppy0", second), ScriptStep.Type("x"), ScriptStep.Expect("SECOND"));
    }

    private static int Offset(FloppyFormat format) => (format.Cylinders - 1) * format.Heads * format.SectorsPerTrack * 512;

    private static byte[] Image(FloppyFormat format, BootProgram program)
    {
        byte[] image = new byte[format.Bytes];
        program.Sector().CopyTo(image, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(image.Length - 512), Mark);
        return image;
    }
}
