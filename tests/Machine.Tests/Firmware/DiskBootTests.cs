using Farm.Machine.Boot;
using Farm.Machine.Tests.Storage;

namespace Farm.Machine.Tests.Firmware;

/// <summary>Both BIOSes reach beyond 137 GB, where addresses need 48 bits (ATA/ATAPI-6).</summary>
public sealed class DiskBootTests
{
    private const uint Written = 0x54545257;

    [Theory]
    [MemberData(nameof(FirmwareBed.Sets), MemberType = typeof(FirmwareBed))]
    public void A_disk_of_200_GiB_is_read_and_written_to_its_end(string firmware)
    {
        using var folder = new TestFolder();
        const long size = 200L << 30;
        const long last = (size >> 9) - 1;
        var program = new BootProgram();
        program.Put(BootProgram.Buffer, Written);
        program.TransferExtended(0x43, last);
        program.TransferExtended(0x42, last & 0x0FFFFFFF); // where a cut-off address would lead
        program.Equal(BootProgram.Buffer, 0);
        program.TransferExtended(0x42, last);
        program.Equal(BootProgram.Buffer, Written);
        program.Print("LBA48 OK");
        string path = folder.Sparse("large.img", size);
        using (var file = File.OpenWrite(path))
            file.Write(program.Sector(446));
        FirmwareBed.Passes(FirmwareBed.Machine(firmware) with { Disks = [path], Order = "c" }, ScriptStep.Expect("LBA48 OK"));
        Assert.Equal(size, new FileInfo(path).Length);
    }
}
