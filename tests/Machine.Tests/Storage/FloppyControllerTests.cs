using Farm.Machine.Devices.Floppy;
using Farm.Machine.Storage;

namespace Farm.Machine.Tests.Storage;

public sealed class FloppyControllerTests
{
    private const byte Read = 0xE6;
    private const byte Write = 0xC5;

    [Fact]
    public void After_reset_the_controller_reports_each_drive_and_waits_for_a_command()
    {
        using FloppyRig rig = new FloppyRig().Start();
        Assert.Equal(MainStatus.RequestForMaster, rig.Status);
        Assert.Equal(1, rig.Interrupts);
        Assert.Equal([0x80], rig.Command(0x08)); // nothing left to report
    }

    [Fact]
    public void Held_in_reset_it_does_not_answer()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Out(2, 0x18);
        Assert.Equal(MainStatus.None, rig.Status);
        rig.Out(5, 0x08);
        rig.Clock.Drain();
        Assert.False(rig.Interrupt);
        Assert.Equal(MainStatus.None, rig.Status);
    }

    [Fact]
    public void Without_the_dma_gate_the_interrupt_stays_off_the_line()
    {
        using var rig = new FloppyRig();
        rig.Out(2, 0x00);
        rig.Out(2, 0x14);
        rig.Clock.Drain();
        Assert.False(rig.Interrupt);
        Assert.Equal([0xC0, 0], rig.Command(0x08));
    }

    [Fact]
    public void The_data_rate_register_resets_by_itself()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Out(4, 0x80);
        rig.Clock.RunUntil(() => rig.Interrupt, "the reset's interrupt");
        Assert.Equal([0xC0, 0], rig.Command(0x08));
    }

    [Fact]
    public void A_command_after_one_sense_drops_the_other_three_reset_statuses()
    {
        using var rig = new FloppyRig();
        rig.Out(2, 0x1C);
        rig.Clock.RunUntil(() => rig.Interrupt, "the reset's interrupt");
        Assert.Equal([0xC0, 0], rig.Command(0x08)); // the BIOS's handler asks once
        rig.Send(0x07, 0x00);
        rig.Clock.RunUntil(() => rig.Interrupt, "the end of recalibration");
        Assert.Equal([0x20, 0], rig.Command(0x08));
        Assert.Equal([0x80], rig.Command(0x08));
    }

    [Fact]
    public void Identification_commands_answer_as_an_82077AA()
    {
        using FloppyRig rig = new FloppyRig().Start();
        Assert.Equal([0x90], rig.Command(0x10)); // VERSION
        Assert.Equal([0x10], rig.Command(0x94)); // LOCK
        Assert.Equal([0x00], rig.Command(0x14)); // UNLOCK
        Assert.Equal([0x80], rig.Command(0x18)); // PART ID came with the 82078
        foreach (byte command in new byte[] { 0x00, 0x01, 0x0B, 0x11, 0x15, 0x17, 0x19, 0x1D, 0x1F, 0x33, 0x4E, 0x8E, 0x88, 0x4F, 0xFF })
            Assert.Equal([0x80], rig.Command(command));
    }

    [Fact]
    public void Settings_show_in_dumpreg_and_survive_a_reset_when_locked()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Send(0x03, 0xDF, 0x02); // SPECIFY
        rig.Send(0x13, 0x00, 0x57, 0x11); // CONFIGURE: implied seek, polling off, threshold 8
        rig.Send(0x12, 0x84); // PERPENDICULAR MODE: drive 0
        rig.Seek(5);
        Assert.Equal([5, 0, 0, 0, 0xDF, 0x02, 0, 0x04, 0x57, 0x11], rig.Command(0x0E));
        Assert.Equal([0x10], rig.Command(0x94));
        rig.Out(2, 0x18);
        rig.Out(2, 0x1C);
        rig.Clock.RunUntil(() => rig.Interrupt, "the reset's interrupt");
        byte[] dump = rig.Command(0x0E);
        Assert.Equal(0x80, dump[7] & 0x80);
        Assert.Equal(0x07, dump[8] & 0x2F); // FIFO and threshold kept, implied seek and polling not
    }

    [Theory]
    [InlineData("360K")]
    [InlineData("720K")]
    [InlineData("1.2M")]
    [InlineData("1.44M")]
    [InlineData("2.88M")]
    public void Every_format_reads_and_writes_its_last_sector_by_dma(string name)
    {
        FloppyFormat format = FloppyFormat.Standard.Single(f => f.Name == name);
        using FloppyRig rig = new FloppyRig(format).Start();
        int cylinder = format.Cylinders - 1, sector = format.SectorsPerTrack;
        rig.Seek(cylinder);
        byte[] result = rig.Transfer(Read, cylinder, 1, sector, 1);
        Assert.Equal(0x04, result[0]); // head 1, normal termination
        Assert.Equal([0, 0], result[1..3]);
        Assert.Equal(TestImage.Sector(format.Sectors - 1), rig.Dma.Memory[..512]);
        TestImage.Sector(12345).CopyTo(rig.Dma.Memory, 0);
        Assert.Equal(0x04, rig.Transfer(Write, cylinder, 1, sector, 1)[0]);
        Assert.Equal(TestImage.Sector(12345), TestImage.Read(rig.A.Disk!.Image, format.Sectors - 1));
        Assert.Equal([$"fd0 read {format.Sectors - 1}+1", $"fd0 write {format.Sectors - 1}+1"], rig.Events.Log);
    }

    [Fact]
    public void The_result_interrupts_until_its_first_byte_is_read()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Dma.Program(512);
        rig.Send(Read, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF);
        Assert.Equal(MainStatus.CommandBusy, rig.Status);
        Assert.False(rig.Interrupt);
        rig.Clock.RunUntil(() => rig.Interrupt, "the result's interrupt");
        Assert.Equal(MainStatus.RequestForMaster | MainStatus.DataToHost | MainStatus.CommandBusy, rig.Status);
        rig.In(5);
        Assert.False(rig.Interrupt);
        Assert.Equal(6, rig.Result().Length);
    }

    [Fact]
    public void Multi_track_goes_on_under_the_other_head()
    {
        using FloppyRig rig = new FloppyRig().Start();
        byte[] result = rig.Transfer(Read, 0, 0, 17, 4);
        Assert.Equal([0x04, 0, 0, 0, 1, 3, 2], result);
        for (int i = 0; i < 4; i++)
            Assert.Equal(TestImage.Sector(rig.Index(0, 0, 17) + i), rig.Dma.Memory[(i * 512)..((i + 1) * 512)]);
    }

    [Theory] // 82077AA, table 5-3: the address in the result after terminal count
    [InlineData(0x46, 0, 5, 1, 0, 0, 6)]
    [InlineData(0x46, 0, 18, 1, 1, 0, 1)]
    [InlineData(0x46, 1, 18, 1, 1, 1, 1)]
    [InlineData(0xC6, 0, 18, 1, 0, 1, 1)]
    [InlineData(0xC6, 1, 5, 1, 0, 1, 6)]
    [InlineData(0xC6, 1, 18, 1, 1, 0, 1)]
    public void The_result_holds_the_next_address(byte command, int head, int sector, int count, int nextCylinder, int nextHead, int nextSector)
    {
        using FloppyRig rig = new FloppyRig().Start();
        byte[] result = rig.Transfer(command, 0, head, sector, count);
        Assert.Equal(0, result[0] & 0xC0);
        Assert.Equal([(byte)nextCylinder, (byte)nextHead, (byte)nextSector, 2], result[3..]);
    }

    [Fact]
    public void Without_terminal_count_the_command_ends_behind_the_cylinder_with_EN()
    {
        using FloppyRig rig = new FloppyRig().Start();
        byte[] result = rig.Transfer(0x46, 0, 0, 18, 5);
        Assert.Equal([0x40, 0x80, 0, 1, 0, 1, 2], result);
        Assert.Equal(512, rig.Dma.Done);
    }

    [Fact]
    public void Terminal_count_in_a_sector_fills_its_rest_with_zeros()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Dma.Memory.AsSpan().Fill(0x5A);
        rig.Dma.Program(100);
        rig.Command(Write, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF);
        byte[] sector = TestImage.Read(rig.A.Disk!.Image, 0);
        Assert.All(sector[..100], b => Assert.Equal(0x5A, b));
        Assert.All(sector[100..], b => Assert.Equal(0, b));
    }

    [Theory]
    [InlineData(0, 0, 19, 2, 0x04, 0x00)] // no such sector
    [InlineData(0, 0, 0, 2, 0x04, 0x00)]
    [InlineData(80, 0, 1, 2, 0x01, 0x00)] // nothing is recorded there
    [InlineData(255, 0, 1, 2, 0x01, 0x00)]
    [InlineData(0, 1, 1, 2, 0x04, 0x00)] // ID of another head
    [InlineData(0, 0, 1, 3, 0x04, 0x00)] // 1024-byte sectors
    public void A_sector_that_is_not_on_the_track_is_no_data(byte c, byte h, byte r, byte n, byte status1, byte status2)
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Dma.Program(512);
        byte[] result = rig.Command(Read, 0, c, h, r, n, 18, 0x1B, 0xFF);
        Assert.Equal([0x40, status1, status2], result[..3]);
        Assert.Equal(0, rig.Dma.Done);
    }

    [Fact]
    public void An_empty_or_absent_drive_ends_commands_abnormally()
    {
        using FloppyRig rig = new FloppyRig().Start();
        foreach (byte drive in new byte[] { 1, 2, 3 })
        {
            rig.Dma.Program(512);
            Assert.Equal([(byte)(0x40 | drive), 0x01, 0], rig.Command(Read, drive, 0, 0, 1, 2, 18, 0x1B, 0xFF)[..3]);
            Assert.Equal([(byte)(0x40 | drive), 0x01, 0], rig.Command(0x4A, drive)[..3]);
        }
        rig.Send(0x07, 0x03);
        rig.Clock.RunUntil(() => rig.Interrupt, "the end of recalibration");
        Assert.Equal([0x73, 0], rig.Command(0x08)); // equipment check: no track 0
    }

    [Fact]
    public void A_write_protected_disk_is_not_writable()
    {
        using FloppyRig rig = new FloppyRig(writeProtected: true).Start();
        Assert.Equal([0x40, 0x02, 0], rig.Transfer(Write, 0, 0, 1, 1)[..3]);
        rig.Dma.Program(72);
        Assert.Equal([0x40, 0x02, 0], rig.Command(0x4D, 0, 2, 18, 0x50, 0xF6)[..3]);
        Assert.Equal(TestImage.Sector(0), TestImage.Read(rig.A.Disk!.Image, 0));
        Assert.Equal(0x40, rig.Command(0x04, 0)[0] & 0x40);
        Assert.Equal(0, rig.Command(0x04, 1)[0] & 0x40);
    }

    [Fact]
    public void A_wrong_data_rate_finds_no_address_mark_once_one_was_programmed()
    {
        using FloppyRig rig = new FloppyRig().Start();
        Assert.Equal(0, rig.Transfer(Read, 0, 0, 1, 1)[0] & 0xC0); // the Bochs BIOS programs none
        rig.Out(7, 2);
        Assert.Equal([0x40, 0x01], rig.Transfer(Read, 0, 0, 1, 1)[..2]);
        rig.Out(7, 0);
        Assert.Equal(0, rig.Transfer(Read, 0, 0, 1, 1)[0] & 0xC0);
        Assert.Equal([0x40, 0x01], rig.Transfer(0x86, 0, 0, 1, 1)[..2]); // FM encoding
    }

    [Fact]
    public void An_unprogrammed_dma_channel_is_an_overrun()
    {
        using FloppyRig rig = new FloppyRig().Start();
        byte[] result = rig.Command(Read, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF);
        Assert.Equal([0x40, 0x10, 0], result[..3]);
    }

    [Fact]
    public void Programmed_transfers_go_through_the_fifo()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Send(0x03, 0xDF, 0x03); // SPECIFY with ND
        rig.Send(0x46, 0, 0, 0, 1, 2, 2, 0x1B, 0xFF);
        for (int sector = 0; sector < 2; sector++)
        {
            rig.Clock.RunUntil(() => rig.Interrupt, "data");
            byte[] data = new byte[512];
            for (int i = 0; i < 512; i++)
            {
                Assert.Equal(MainStatus.RequestForMaster | MainStatus.DataToHost | MainStatus.NonDma | MainStatus.CommandBusy, rig.Status);
                data[i] = rig.In(5);
            }
            Assert.Equal(TestImage.Sector(sector), data);
        }
        Assert.Equal([0x40, 0x80, 0, 1, 0, 1, 2], rig.Result());
        rig.Send(0x45, 0, 0, 0, 5, 2, 5, 0x1B, 0xFF);
        rig.Clock.RunUntil(() => rig.Interrupt, "the request for data");
        foreach (byte value in TestImage.Sector(777))
        {
            Assert.Equal(MainStatus.RequestForMaster | MainStatus.NonDma | MainStatus.CommandBusy, rig.Status);
            rig.Out(5, value);
        }
        Assert.Equal([0x40, 0x80, 0], rig.Result()[..3]);
        Assert.Equal(TestImage.Sector(777), TestImage.Read(rig.A.Disk!.Image, 4));
    }

    [Fact]
    public void Seeks_of_two_drives_overlap_and_report_one_by_one()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Send(0x0F, 0, 10);
        rig.Send(0x0F, 1, 20);
        Assert.Equal(MainStatus.RequestForMaster | MainStatus.Drive0Busy | MainStatus.Drive1Busy, rig.Status);
        rig.Clock.Drain();
        Assert.Equal(MainStatus.RequestForMaster, rig.Status);
        Assert.Equal([0x20, 10], rig.Command(0x08));
        Assert.True(rig.Interrupt);
        Assert.Equal([0x21, 20], rig.Command(0x08));
        Assert.False(rig.Interrupt);
        Assert.Equal((10, 20), (rig.A.Cylinder, rig.B.Cylinder));
    }

    [Fact]
    public void Relative_and_implied_seeks_move_the_head()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Seek(10);
        rig.Send(0xCF, 0, 5); // inwards
        rig.Clock.Drain();
        Assert.Equal([0x20, 15], rig.Command(0x08));
        rig.Send(0x8F, 0, 3); // outwards
        rig.Clock.Drain();
        Assert.Equal([0x20, 12], rig.Command(0x08));
        rig.Send(0x13, 0, 0x47, 0);
        byte[] result = rig.Transfer(Read, 40, 0, 1, 1);
        Assert.Equal(0x20, result[0]);
        Assert.Equal(TestImage.Sector(rig.Index(40, 0, 1)), rig.Dma.Memory[..512]);
    }

    /// <summary>The Bochs BIOS reads, writes and formats without a seek.</summary>
    [Fact]
    public void Transfers_find_their_cylinder_without_a_seek()
    {
        using FloppyRig rig = new FloppyRig().Start();
        Assert.Equal([0x04, 0, 0], rig.Transfer(Read, 40, 1, 1, 1)[..3]);
        Assert.Equal(TestImage.Sector(rig.Index(40, 1, 1)), rig.Dma.Memory[..512]);
        for (int i = 0; i < 18; i++)
            new byte[] { 12, 0, (byte)(i + 1), 2 }.CopyTo(rig.Dma.Memory, i * 4);
        rig.Dma.Program(72);
        Assert.Equal([0, 0, 0], rig.Command(0x4D, 0, 2, 18, 0x54, 0xF6)[..3]);
        Assert.All(TestImage.Read(rig.A.Disk!.Image, rig.Index(12, 0, 1), 18), b => Assert.Equal(0xF6, b));
        Assert.Equal(0, rig.In(7)); // the head has moved
    }

    [Fact]
    public void Recalibration_finds_track_0_from_anywhere()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Seek(79);
        Assert.Equal(0x28, rig.Command(0x04, 0)[0]);
        rig.Send(0x07, 0);
        rig.Clock.Drain();
        Assert.Equal([0x20, 0], rig.Command(0x08));
        Assert.Equal(0x38, rig.Command(0x04, 0)[0]);
    }

    [Fact]
    public void The_change_line_stays_until_a_step_with_a_disk_in()
    {
        using FloppyRig rig = new FloppyRig().Start();
        Assert.Equal(0x80, rig.In(7));
        rig.Seek(1);
        Assert.Equal(0, rig.In(7));
        rig.A.Eject();
        Assert.Equal(0x80, rig.In(7));
        rig.Seek(0);
        rig.Seek(1);
        Assert.Equal(0x80, rig.In(7)); // no disk, no way to clear it
        FloppyFormat small = FloppyFormat.Standard.Single(f => f.Name == "720K");
        rig.A.Insert(new FloppyImage(TestImage.Numbered(small.Sectors), small));
        Assert.Equal(0x80, rig.In(7));
        rig.Seek(0);
        Assert.Equal(0, rig.In(7));
        Assert.Equal(0, rig.Transfer(Read, 0, 1, 1, 1)[0] & 0xC0);
        Assert.Equal(TestImage.Sector(9), rig.Dma.Memory[..512]); // nine sectors a track now
        Assert.Equal(["fd0 medium out", "fd0 medium in", "fd0 read 9+1"], rig.Events.Log);
    }

    [Fact]
    public void Read_id_tells_where_the_head_is_and_the_disk_turns()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Seek(33);
        var seen = new HashSet<byte>();
        for (int i = 0; i < 40; i++)
        {
            byte[] result = rig.Command(0x4A, 0x04);
            Assert.Equal([0x04, 0, 0, 33, 1], result[..5]);
            Assert.InRange(result[5], 1, 18);
            seen.Add(result[5]);
            rig.Clock.AdvanceTo(rig.Clock.Now + 7_000);
        }
        Assert.True(seen.Count > 5);
    }

    [Fact]
    public void Format_fills_the_track_and_verify_reads_it()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Seek(3);
        for (int i = 0; i < 18; i++)
            new byte[] { 3, 1, (byte)(18 - i), 2 }.CopyTo(rig.Dma.Memory, i * 4);
        rig.Dma.Program(72);
        Assert.Equal([0x04, 0, 0], rig.Command(0x4D, 4, 2, 18, 0x54, 0xF6)[..3]);
        for (int sector = 1; sector <= 18; sector++)
            Assert.All(TestImage.Read(rig.A.Disk!.Image, rig.Index(3, 1, sector)), b => Assert.Equal(0xF6, b));
        Assert.Equal(TestImage.Sector(rig.Index(3, 0, 18)), TestImage.Read(rig.A.Disk!.Image, rig.Index(3, 0, 18)));
        Assert.Equal([0x04, 0, 0], rig.Command(0x56, 0x04, 3, 1, 1, 2, 18, 0x1B, 0xFF)[..3]);
        Assert.Equal([0x84 & 0x04, 0, 0], rig.Command(0x56, 0x84, 3, 1, 1, 2, 18, 0x1B, 5)[..3]);
        Assert.Equal([0x44, 0x04, 0], rig.Command(0x56, 0x04, 3, 1, 1, 2, 19, 0x1B, 0xFF)[..3]);
    }

    [Fact]
    public void Formatting_with_more_sectors_than_the_format_has_shows_in_the_verify()
    {
        FloppyFormat small = FloppyFormat.Standard.Single(f => f.Name == "720K");
        using FloppyRig rig = new FloppyRig(small).Start();
        for (int i = 0; i < 18; i++)
            new byte[] { 0, 0, (byte)(i + 1), 2 }.CopyTo(rig.Dma.Memory, i * 4);
        rig.Dma.Program(72);
        Assert.Equal([0, 0, 0], rig.Command(0x4D, 0, 2, 18, 0x54, 0xF6)[..3]);
        Assert.Equal(TestImage.Sector(9), TestImage.Read(rig.A.Disk!.Image, 9));
        Assert.Equal([0x40, 0x04, 0], rig.Transfer(Read, 0, 0, 10, 1)[..3]);
    }

    [Fact]
    public void Read_track_starts_behind_the_index_whatever_the_address()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Dma.Program(18 * 512);
        byte[] result = rig.Command(0x42, 0, 0, 0, 5, 2, 18, 0x1B, 0xFF);
        Assert.Equal(0, result[0] & 0xC0);
        Assert.Equal(0x04, result[1]); // the IDs did not match: noted
        for (int i = 0; i < 18; i++)
            Assert.Equal(TestImage.Sector(i), rig.Dma.Memory[(i * 512)..((i + 1) * 512)]);
    }

    [Fact]
    public void Deleted_data_marks_are_not_what_images_hold()
    {
        using FloppyRig rig = new FloppyRig().Start();
        byte[] result = rig.Transfer(0x4C, 0, 0, 1, 3);
        Assert.Equal([0x00, 0, 0x40], result[..3]);
        Assert.Equal(512, rig.Dma.Done);
    }

    [Fact]
    public void A_360K_disk_in_a_1200K_drive_is_read_by_double_steps()
    {
        FloppyFormat format = FloppyFormat.Standard.Single(f => f.Name == "360K");
        using FloppyRig rig = new FloppyRig(format, drive: FloppyDriveType.Drive1200K).Start();
        rig.Seek(78);
        Assert.Equal(0x04, rig.Transfer(Read, 39, 1, 9, 1)[0]);
        Assert.Equal(TestImage.Sector(719), rig.Dma.Memory[..512]);
    }

    [Fact]
    public void A_reset_in_the_middle_of_a_transfer_forgets_it()
    {
        using FloppyRig rig = new FloppyRig().Start();
        rig.Dma.Program(18 * 512);
        rig.Send(Read, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF);
        rig.Clock.AdvanceTo(rig.Clock.NextDeadline);
        rig.Start();
        int done = rig.Dma.Done;
        rig.Clock.Drain();
        Assert.Equal(done, rig.Dma.Done);
        Assert.Equal(MainStatus.RequestForMaster, rig.Status);
    }
}
