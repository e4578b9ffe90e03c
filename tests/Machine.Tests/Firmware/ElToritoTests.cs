using System.Buffers.Binary;
using Farm.Machine.Boot;
using Farm.Machine.Tests.Storage;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests.Firmware;

/// <summary>Both BIOSes boot a CD in the three forms of El Torito; the program then reads through the BIOS's emulation.</summary>
public sealed class ElToritoTests
{
    private const uint Mark = 0x4B52414D;

    [Theory]
    [MemberData(nameof(FirmwareBed.Sets), MemberType = typeof(FirmwareBed))]
    public void No_emulation_loads_the_image_and_reads_the_disc(string firmware)
    {
        var program = new BootProgram();
        program.TransferExtended(0x42, 16);
        program.Equal(BootProgram.Buffer, 0x30444301); // type 1, "CD0"
        program.TransferExtended(0x42, 24 + 1);
        program.Equal(BootProgram.Buffer, Mark);
        program.Print("NOEMUL OK");
        byte[] image = new byte[4096];
        program.Code(2048).CopyTo(image, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(2048), Mark);
        Boots(firmware, TinyIso.Build(0, image, 4), "NOEMUL OK");
    }

    [Theory]
    [InlineData("bochs", 1, 15)]
    [InlineData("bochs", 2, 18)]
    [InlineData("bochs", 3, 36)]
    [InlineData("seabios", 1, 15)]
    [InlineData("seabios", 2, 18)]
    [InlineData("seabios", 3, 36)]
    public void Floppy_emulation_is_drive_0_with_the_floppys_geometry(string firmware, byte type, int perTrack)
    {
        var program = new BootProgram();
        program.Transfer(2, 79, 1, perTrack);
        program.Equal(BootProgram.Buffer, Mark);
        program.Transfer(2, 0, 0, 1);
        program.Asm.mov(cl, __byte_ptr[BootProgram.Drive]);
        program.Equal(cl, 0);
        program.Print("FLOPPY OK");
        byte[] image = new byte[80 * 2 * perTrack * 512];
        program.Sector().CopyTo(image, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(image.Length - 512), Mark);
        Boots(firmware, TinyIso.Build(type, image, 1), "FLOPPY OK");
    }

    [Theory]
    [MemberData(nameof(FirmwareBed.Sets), MemberType = typeof(FirmwareBed))]
    public void Hard_disk_emulation_is_drive_80h_with_the_partition_tables_geometry(string firmware)
    {
        const int cylinders = 10, heads = 4, perTrack = 17;
        var program = new BootProgram();
        program.Transfer(2, cylinders - 1, heads - 1, perTrack);
        program.Equal(BootProgram.Buffer, Mark);
        program.Asm.mov(cl, __byte_ptr[BootProgram.Drive]);
        program.Equal(cl, 0x80);
        program.Print("DISK OK");
        byte[] image = new byte[cylinders * heads * perTrack * 512];
        program.Sector(446).CopyTo(image, 0);
        Span<byte> partition = image.AsSpan(446, 16);
        partition[0] = 0x80;
        partition[1] = 1; // from cylinder 0, head 1, sector 1
        partition[2] = 1;
        partition[4] = 0x06;
        partition[5] = heads - 1;
        partition[6] = perTrack;
        partition[7] = cylinders - 1;
        BinaryPrimitives.WriteUInt32LittleEndian(partition[8..], perTrack);
        BinaryPrimitives.WriteUInt32LittleEndian(partition[12..], cylinders * heads * perTrack - perTrack);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(image.Length - 512), Mark);
        Boots(firmware, TinyIso.Build(4, image, 1, systemType: 0x06), "DISK OK");
    }

    /// <summary>A broken download: what is there boots, the rest is a scratch on the disc.</summary>
    [Theory]
    [MemberData(nameof(FirmwareBed.Sets), MemberType = typeof(FirmwareBed))]
    public void A_disc_cut_short_boots_and_gives_read_errors_where_it_ends(string firmware)
    {
        var program = new BootProgram();
        program.TransferExtended(0x42, 16);
        program.Print("STARTED");
        program.TransferExtended(0x42, 200);
        program.Print("WRONG");
        byte[] image = new byte[2048];
        program.Code(2048).CopyTo(image, 0);
        byte[] iso = TinyIso.Build(0, image, 4, tail: 300);
        Boots(firmware, iso[..(100 * 2048 + 77)], "STARTED BAD b");
    }

    [Theory]
    [MemberData(nameof(FirmwareBed.Sets), MemberType = typeof(FirmwareBed))]
    public void A_changed_disc_is_read_after_the_drive_has_said_so(string firmware)
    {
        const uint second = 0x444E3253;
        var program = new BootProgram();
        program.TransferExtended(0x42, 24 + 1);
        program.Equal(BootProgram.Buffer, Mark);
        program.Print("FIRST");
        program.WaitForKey();
        program.TransferExtended(0x42, 24 + 1);
        program.Equal(BootProgram.Buffer, second);
        program.Print("SECOND");
        byte[] image = new byte[4096];
        program.Code(2048).CopyTo(image, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(2048), Mark);
        byte[] other = new byte[4096];
        BinaryPrimitives.WriteUInt32LittleEndian(other.AsSpan(2048), second);
        using var folder = new TestFolder();
        string disc = folder.File("second.iso", TinyIso.Build(0, other, 4));
        FirmwareBed.Passes(
            FirmwareBed.Machine(firmware) with { Cdroms = [folder.File("first.iso", TinyIso.Build(0, image, 4))], Order = "d" },
            ScriptStep.Expect("FIRST"), new EjectStep("cdrom0"), new InsertStep("cdrom0", disc), ScriptStep.Type("x"), ScriptStep.Expect("SECOND"));
    }

    private static void Boots(string firmware, byte[] iso, string text)
    {
        using var folder = new TestFolder();
        FirmwareBed.Passes(FirmwareBed.Machine(firmware) with { Cdroms = [folder.File("cd.iso", iso)], Order = "d" }, ScriptStep.Expect(text));
    }
}
