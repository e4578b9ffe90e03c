using Farm.Machine.Boot;
using Farm.Machine.Tests.Storage;

namespace Farm.Machine.Tests.Firmware;

/// <summary>Which of three bootable media a BIOS takes: by the boot order, or by its menu.</summary>
public sealed class BootOrderTests
{
    [Theory]
    [InlineData("bochs", "acd", "FLOPPY")]
    [InlineData("bochs", "cda", "DISK")]
    [InlineData("bochs", "dac", "CDROM")]
    [InlineData("seabios", "acd", "FLOPPY")]
    [InlineData("seabios", "cda", "DISK")]
    [InlineData("seabios", "dac", "CDROM")]
    public void The_first_letter_boots(string firmware, string order, string medium)
    {
        using var folder = new TestFolder();
        FirmwareBed.Expect(Machine(folder, firmware) with { Order = order }, $"FROM {medium}");
    }

    [Theory]
    [InlineData("bochs", "Press F12 for boot menu", "f12", "2\\. [^\\n]*Disk|Hard Disk", "2", "DISK")]
    [InlineData("bochs", "Press F12 for boot menu", "f12", "CD", "3", "CDROM")]
    [InlineData("seabios", "Press ESC for boot menu", "esc", "Select boot device", "2", "DISK")]
    [InlineData("seabios", "Press ESC for boot menu", "esc", "Select boot device", "3", "CDROM")]
    public void The_menu_boots_another(string firmware, string offer, string key, string menu, string choice, string medium)
    {
        using var folder = new TestFolder();
        FirmwareBed.Passes(
            Machine(folder, firmware) with { BootMenu = true, Order = "acd" },
            ScriptStep.Expect(offer), ScriptStep.Press(key), ScriptStep.Expect(menu), ScriptStep.Type(choice), ScriptStep.Expect($"FROM {medium}"));
    }

    [Fact]
    public void An_empty_drive_is_passed_over()
    {
        using var folder = new TestFolder();
        foreach (string firmware in FirmwareBed.Sets.Select(row => row.Data))
            FirmwareBed.Expect(Machine(folder, firmware) with { Floppies = [null], Cdroms = [null], Order = "adc" }, "FROM DISK");
    }

    private static MachineOptions Machine(TestFolder folder, string firmware)
    {
        byte[] floppy = new byte[1474560];
        Program("FLOPPY").CopyTo(floppy, 0);
        byte[] disk = new byte[10 << 20];
        Program("DISK").CopyTo(disk, 0);
        byte[] loaded = new byte[2048];
        Program("CDROM").CopyTo(loaded, 0);
        return FirmwareBed.Machine(firmware) with
        {
            Floppies = [folder.File("a.img", floppy)],
            Disks = [folder.File("c.img", disk)],
            Cdroms = [folder.File("d.iso", TinyIso.Build(0, loaded, 4))],
        };
    }

    private static byte[] Program(string medium)
    {
        var program = new BootProgram();
        program.Print($"FROM {medium}");
        return program.Sector(446);
    }
}
