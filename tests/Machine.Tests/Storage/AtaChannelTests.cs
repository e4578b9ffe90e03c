using Farm.Machine.Devices.Ide;

namespace Farm.Machine.Tests.Storage;

public sealed class AtaChannelTests
{
    private const AtaStatus Done = AtaStatus.DRDY | AtaStatus.DSC;

    [Fact]
    public void A_channel_without_devices_reads_as_pulled_up()
    {
        var rig = new AtaRig();
        for (int register = 0; register < 8; register++)
            Assert.Equal(0xFF, rig.In(register));
        Assert.Equal(0xFFFFu, rig.Channel.ReadPort(0x1F0, 2));
        Assert.Equal((AtaStatus)0xFF, rig.AlternateStatus);
        rig.Command(AtaCommand.IdentifyDevice);
        rig.Clock.Drain();
        Assert.Equal(0, rig.Interrupts);
    }

    /// <summary>What rombios and many drivers do: write patterns, read them back, reset, look at the signature.</summary>
    [Theory]
    [InlineData(true, true, "ata atapi")]
    [InlineData(true, false, "ata none")]
    [InlineData(false, true, "none atapi")]
    [InlineData(false, false, "none none")]
    public void The_classic_detection_finds_what_is_there(bool master, bool slave, string expected)
    {
        var rig = new AtaRig(master ? Disk() : null, slave ? new AtapiCdRom() : null);
        rig.Clock.Drain();
        string[] found = ["none", "none"];
        for (int device = 0; device < 2; device++)
        {
            rig.Out(6, 0xA0 | (device << 4));
            rig.Out(2, 0x55);
            rig.Out(3, 0xAA);
            rig.Out(2, 0xAA);
            rig.Out(3, 0x55);
            rig.Out(2, 0x55);
            rig.Out(3, 0xAA);
            if ((rig.In(2), rig.In(3)) != (0x55, 0xAA))
                continue;
            rig.Control(0x0E);
            rig.Clock.Drain();
            Assert.Equal(master, (rig.AlternateStatus & AtaStatus.BSY) != 0);
            rig.Control(0x0A);
            rig.Out(6, 0xA0 | (device << 4));
            rig.Clock.Drain();
            Assert.Equal(AtaStatus.None, rig.AlternateStatus & AtaStatus.BSY);
            found[device] = (rig.In(2), rig.In(3), rig.In(4), rig.In(5), rig.In(7) != 0) switch
            {
                (1, 1, 0, 0, true) => "ata",
                (1, 1, 0x14, 0xEB, _) => "atapi",
                _ => "none",
            };
        }
        Assert.Equal(expected, string.Join(' ', found));
    }

    [Fact]
    public void An_absent_device_1_has_status_0_and_no_signature()
    {
        AtaRig rig = new AtaRig(Disk()).Ready();
        rig.Out(6, 0xB0);
        Assert.Equal((1, 1, 0xFF, 0xFF), (rig.In(2), rig.In(3), rig.In(4), rig.In(5)));
        rig.Out(3, 0x42);
        Assert.Equal(0x42, rig.In(3));
        Assert.Equal(0xB0, rig.In(6));
        Assert.Equal(AtaStatus.None, rig.Status());
        rig.Out(7, (int)AtaCommand.IdentifyDevice);
        rig.Clock.Drain();
        Assert.Equal(0, rig.Interrupts);
    }

    [Fact]
    public void Commands_go_to_the_selected_device()
    {
        var rig = new AtaRig(Disk(), new AtaDisk(TestImage.Blank(9999)));
        rig.Clock.Drain();
        rig.Command(AtaCommand.ReadNativeMaxAddress, device: 1);
        rig.Expect(Done);
        Assert.Equal((9998 & 0xFF, 9998 >> 8), ((int)rig.In(3), (int)rig.In(4)));
    }

    [Fact]
    public void The_interrupt_of_a_device_shows_while_it_is_selected()
    {
        var rig = new AtaRig(Disk(), Disk());
        rig.Clock.Drain();
        rig.Command(AtaCommand.FlushCache);
        rig.WaitInterrupt();
        rig.Out(6, 0xB0);
        Assert.False(rig.Interrupt);
        rig.Out(6, 0xA0);
        Assert.True(rig.Interrupt);
        rig.Status();
        Assert.False(rig.Interrupt);
    }

    [Fact]
    public void NIEN_masks_the_interrupt_and_alternate_status_leaves_it()
    {
        AtaRig rig = new AtaRig(Disk()).Ready();
        rig.Control(0x02);
        rig.Command(AtaCommand.FlushCache);
        rig.Clock.Drain();
        Assert.False(rig.Interrupt);
        Assert.Equal(Done, rig.AlternateStatus);
        rig.Control(0x00);
        Assert.True(rig.Interrupt);
        Assert.Equal(Done, rig.AlternateStatus);
        Assert.True(rig.Interrupt);
    }

    [Fact]
    public void A_software_reset_ends_a_transfer()
    {
        AtaRig rig = new AtaRig(Disk()).Ready();
        rig.Command(AtaCommand.ReadSectors, 0, 8);
        rig.WaitInterrupt();
        rig.Control(0x04);
        Assert.False(rig.Interrupt);
        Assert.Equal(AtaStatus.BSY, rig.AlternateStatus);
        rig.Out(7, (int)AtaCommand.FlushCache); // nobody listens
        rig.Control(0x00);
        rig.Clock.Drain();
        Assert.Equal(Done, rig.Status());
        Assert.Equal(0u, rig.Channel.ReadPort(0x1F0, 2));
        Assert.Equal(1, rig.Interrupts);
    }

    [Fact]
    public void A_busy_device_ignores_registers_and_commands()
    {
        AtaRig rig = new AtaRig(Disk()).Ready();
        rig.Command(AtaCommand.ReadSectors, 77);
        rig.Out(3, 5);
        rig.Out(7, (int)AtaCommand.FlushCache);
        rig.Expect(Done | AtaStatus.DRQ);
        Assert.Equal(TestImage.Sector(77), rig.ReadData(512));
    }

    [Fact]
    public void Diagnostics_run_on_both_devices_and_device_0_interrupts_once()
    {
        var rig = new AtaRig(Disk(), new AtapiCdRom());
        rig.Clock.Drain();
        rig.Out(6, 0xB0);
        rig.Out(7, (int)AtaCommand.ExecuteDeviceDiagnostic);
        Assert.Equal(AtaStatus.BSY, rig.AlternateStatus & AtaStatus.BSY);
        rig.Expect(Done);
        Assert.Equal((1, 1, 1, 0, 0), (rig.In(1), rig.In(2), rig.In(3), rig.In(4), rig.In(5)));
        rig.Out(6, 0xB0);
        Assert.Equal((0x14, 0xEB), (rig.In(4), rig.In(5)));
        Assert.Equal(1, rig.Interrupts);
    }

    [Fact]
    public void Dma_reads_move_without_the_host_and_interrupt_once()
    {
        AtaRig rig = new AtaRig(Disk()).Ready();
        rig.Command(AtaCommand.ReadDma, 3, 0);
        Assert.NotEqual(AtaStatus.None, rig.AlternateStatus & (AtaStatus.BSY | AtaStatus.DRQ));
        rig.Clock.Drain();
        Assert.Equal(0, rig.Interrupts); // waits for the bus master
        rig.BusMaster.Start(rig.Channel, 256 * 512, toMemory: true);
        rig.Expect(Done);
        Assert.Equal(256 * 512, rig.BusMaster.Done);
        for (int i = 0; i < 256; i++)
            Assert.Equal(TestImage.Sector(3 + i), rig.BusMaster.Memory[(i * 512)..((i + 1) * 512)]);
        Assert.Equal(1, rig.Interrupts);
    }

    [Fact]
    public void Dma_may_be_started_before_the_command()
    {
        AtaRig rig = new AtaRig(Disk()).Ready();
        rig.BusMaster.Start(rig.Channel, 512, toMemory: true);
        rig.Command(AtaCommand.ReadDma, 9);
        rig.Expect(Done);
        Assert.Equal(TestImage.Sector(9), rig.BusMaster.Memory[..512]);
    }

    [Fact]
    public void Dma_writes_reach_the_disk()
    {
        AtaRig rig = new AtaRig(Disk()).Ready();
        for (int i = 0; i < 200; i++)
            TestImage.Sector(5000 + i).CopyTo(rig.BusMaster.Memory, i * 512);
        rig.CommandExt(AtaCommand.WriteDmaExt, 1000, 200);
        rig.BusMaster.Start(rig.Channel, 200 * 512, toMemory: false);
        rig.Expect(Done);
        for (int i = 0; i < 200; i++)
            Assert.Equal(TestImage.Sector(5000 + i), TestImage.Read(((AtaDisk)rig.Channel.Master!).Image, 1000 + i));
        Assert.Equal(["ata0-master write 1000+128", "ata0-master write 1128+72"], rig.Events.Log);
    }

    [Fact]
    public void A_prd_table_that_is_too_short_leaves_the_drive_waiting_and_a_second_one_ends_it()
    {
        AtaRig rig = new AtaRig(Disk()).Ready();
        rig.Command(AtaCommand.ReadDma, 0, 4);
        rig.BusMaster.Start(rig.Channel, 700, toMemory: true);
        rig.Clock.Drain();
        Assert.Equal(0, rig.Interrupts);
        Assert.Equal(AtaStatus.BSY, rig.AlternateStatus & AtaStatus.BSY);
        byte[] first = rig.BusMaster.Memory[..700];
        rig.BusMaster.Start(rig.Channel, 2048 - 700, toMemory: true);
        rig.Expect(Done);
        byte[] all = [.. first, .. rig.BusMaster.Memory[..(2048 - 700)]];
        for (int i = 0; i < 4; i++)
            Assert.Equal(TestImage.Sector(i), all[(i * 512)..((i + 1) * 512)]);
    }

    [Fact]
    public void A_bus_master_set_for_the_other_direction_moves_nothing()
    {
        AtaRig rig = new AtaRig(Disk()).Ready();
        rig.Command(AtaCommand.ReadDma);
        rig.BusMaster.Start(rig.Channel, 512, toMemory: false);
        rig.Clock.Drain();
        Assert.Equal(0, rig.Interrupts);
        rig.Control(0x04);
        rig.Control(0x00);
        rig.Clock.Drain();
        Assert.Equal(Done, rig.Status());
    }

    [Fact]
    public void Dma_off_the_end_of_the_disk_fails_at_the_first_missing_sector()
    {
        AtaRig rig = new AtaRig(Disk()).Ready();
        rig.Command(AtaCommand.ReadDma, 3998, 4);
        rig.BusMaster.Start(rig.Channel, 2048, toMemory: true);
        rig.ExpectError(AtaError.IDNF);
        Assert.Equal(1024, rig.BusMaster.Done);
        Assert.Equal((4000 & 0xFF, 4000 >> 8, 0), ((int)rig.In(3), (int)rig.In(4), (int)rig.In(5)));
    }

    private static AtaDisk Disk() => new(TestImage.Numbered(4000));
}
