using System.Buffers.Binary;
using System.Text;
using Farm.Machine.Devices.Ide;
using Farm.Machine.Storage;

namespace Farm.Machine.Tests.Storage;

public sealed class AtaDiskTests
{
    private const int Sectors = 16 * 63 * 4; // 4 cylinders
    private const AtaStatus Done = AtaStatus.DRDY | AtaStatus.DSC;
    private const AtaStatus Data = Done | AtaStatus.DRQ;

    [Fact]
    public void After_reset_a_disk_shows_its_signature()
    {
        AtaRig rig = Rig();
        Assert.Equal(AtaStatus.BSY, rig.AlternateStatus & AtaStatus.BSY);
        rig.WaitNotBusy();
        Assert.Equal(Done, rig.Status());
        Assert.Equal((1, 1, 1, 0, 0), (rig.In(1), rig.In(2), rig.In(3), rig.In(4), rig.In(5)));
        Assert.Equal(0, rig.Interrupts);
    }

    [Fact]
    public void Identify_describes_the_disk()
    {
        AtaRig rig = Rig().Ready();
        ushort[] words = Identify(rig);
        Assert.Equal((4, 16, 63), (words[1], words[3], words[6]));
        Assert.Equal(512, words[5]); // the Bochs BIOS reads sectors of this size
        Assert.Equal((4, 16, 63), (words[54], words[55], words[56]));
        Assert.Equal(Sectors, words[57] | (words[58] << 16));
        Assert.Equal(Sectors, words[60] | (words[61] << 16));
        Assert.Equal(Sectors, words[100] | (words[101] << 16));
        Assert.Equal("FARM HARDDISK", Text(words, 27, 20));
        Assert.Equal("FARM00000001", Text(words, 10, 10));
        Assert.Equal(0x0F00, words[49]);
        Assert.Equal(0x4000, words[83] & 0xC000);
        Assert.Equal(0x0400, words[83] & 0x0400);
        Assert.Equal(0, MemoryBytes(words).Sum(b => b) & 0xFF);
        Assert.Equal(Done, rig.Status());
        Assert.Equal(1, rig.Interrupts);
    }

    [Fact]
    public void Without_a_bus_master_dma_is_neither_offered_nor_done()
    {
        AtaRig rig = Rig(dma: false).Ready();
        ushort[] words = Identify(rig);
        Assert.Equal((0, 0, 0), (words[49] & 0x0100, words[63], words[88]));
        rig.Command(AtaCommand.ReadDma);
        rig.ExpectError(AtaError.ABRT);
        SetFeature(rig, 3, 0x45);
        rig.ExpectError(AtaError.ABRT);
    }

    [Theory]
    [InlineData(AtaCommand.ReadSectors)]
    [InlineData(AtaCommand.ReadSectorsNoRetry)]
    [InlineData(AtaCommand.ReadSectorsExt)]
    public void Read_sectors_interrupts_before_each_sector_and_not_after_the_last(AtaCommand command)
    {
        AtaRig rig = Rig().Ready();
        if (command == AtaCommand.ReadSectorsExt)
            rig.CommandExt(command, 100, 3);
        else
            rig.Command(command, 100, 3);
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(AtaStatus.BSY, rig.AlternateStatus & (AtaStatus.BSY | AtaStatus.DRQ));
            rig.Expect(Data);
            Assert.Equal(TestImage.Sector(100 + i), rig.ReadData(512));
        }
        rig.Clock.Drain();
        Assert.Equal(3, rig.Interrupts);
        Assert.Equal(Done, rig.Status());
        Assert.Equal((102, 0, 0), rig.Lba);
        Assert.Equal(0, rig.In(2));
        Assert.Equal(["ata0-master read 100+1", "ata0-master read 101+1", "ata0-master read 102+1"], rig.Events.Log);
    }

    [Fact]
    public void A_count_of_zero_is_256_sectors()
    {
        AtaRig rig = Rig().Ready();
        rig.Command(AtaCommand.ReadSectors, 0, 0);
        for (int i = 0; i < 256; i++)
        {
            rig.Expect(Data);
            Assert.Equal(TestImage.Sector(i), rig.ReadData(512));
        }
        Assert.Equal(Done, rig.Status());
    }

    [Fact]
    public void Chs_addresses_follow_the_parameters_that_the_host_set()
    {
        AtaRig rig = Rig().Ready();
        rig.CommandChs(AtaCommand.ReadSectors, 2, 5, 7);
        rig.Expect(Data);
        Assert.Equal(TestImage.Sector((((2 * 16) + 5) * 63) + 6), rig.ReadData(512));
        Assert.Equal((7, 2, 0), rig.Lba);
        rig.Out(6, 0xA0 | 7);
        rig.Out(2, 17);
        rig.Out(7, (int)AtaCommand.InitializeDeviceParameters);
        rig.Expect(Done);
        rig.CommandChs(AtaCommand.ReadSectors, 3, 7, 17);
        rig.Expect(Data);
        Assert.Equal(TestImage.Sector((((3 * 8) + 7) * 17) + 16), rig.ReadData(512));
        ushort[] words = Identify(rig);
        Assert.Equal((4, 16, 63), (words[1], words[3], words[6]));
        Assert.Equal((Sectors / (8 * 17), 8, 17), (words[54], words[55], words[56]));
    }

    [Theory]
    [InlineData(0, 0, 0)] // sectors count from 1
    [InlineData(0, 0, 64)]
    [InlineData(4, 0, 1)]
    public void A_chs_address_outside_the_geometry_is_not_found(int cylinder, int head, int sector)
    {
        AtaRig rig = Rig().Ready();
        rig.CommandChs(AtaCommand.ReadSectors, cylinder, head, sector);
        rig.ExpectError(AtaError.IDNF);
        Assert.Empty(rig.Events.Log);
    }

    [Fact]
    public void A_read_that_runs_off_the_disk_delivers_what_there_is_and_fails_at_the_end()
    {
        AtaRig rig = Rig().Ready();
        rig.Command(AtaCommand.ReadSectors, Sectors - 2, 5);
        rig.Expect(Data);
        rig.ReadData(512);
        rig.Expect(Data);
        Assert.Equal(TestImage.Sector(Sectors - 1), rig.ReadData(512));
        rig.ExpectError(AtaError.IDNF);
        Assert.Equal((Sectors & 0xFF, Sectors >> 8, 0), ((int)rig.In(3), (int)rig.In(4), (int)rig.In(5)));
        Assert.Equal(3, rig.In(2));
        rig.Command(AtaCommand.WriteSectors, Sectors);
        rig.ExpectError(AtaError.IDNF);
    }

    [Theory]
    [InlineData(AtaCommand.WriteSectors, 1)]
    [InlineData(AtaCommand.WriteVerify, 1)]
    [InlineData(AtaCommand.WriteSectorsExt, 1)]
    [InlineData(AtaCommand.WriteMultiple, 16)]
    [InlineData(AtaCommand.WriteMultipleExt, 16)]
    public void A_write_asks_for_the_first_block_without_interrupt_and_interrupts_for_each_other_and_at_the_end(AtaCommand command, int block)
    {
        AtaRig rig = Rig().Ready();
        const int Count = 33;
        if (command is AtaCommand.WriteSectorsExt or AtaCommand.WriteMultipleExt)
            rig.CommandExt(command, 500, Count);
        else
            rig.Command(command, 500, Count);
        for (int done = 0; done < Count; done += block)
        {
            if (done > 0)
                rig.Expect(Data);
            else
                rig.WaitNotBusy();
            Assert.Equal(Data, rig.AlternateStatus);
            for (int i = done; i < Math.Min(done + block, Count); i++)
                rig.WriteData(TestImage.Sector(9000 + i));
            Assert.Equal(done + block < Count ? Data : Done, rig.AlternateStatus); // the Bochs BIOS does not wait here
        }
        rig.Expect(Done);
        Assert.Equal((Count + block - 1) / block, rig.Interrupts);
        for (int i = 0; i < Count; i++)
            Assert.Equal(TestImage.Sector(9000 + i), TestImage.Read(Image(rig), 500 + i));
        Assert.Equal(TestImage.Sector(499), TestImage.Read(Image(rig), 499));
        Assert.Equal(TestImage.Sector(533), TestImage.Read(Image(rig), 533));
    }

    [Fact]
    public void Read_multiple_moves_blocks_of_the_set_size()
    {
        AtaRig rig = Rig().Ready();
        rig.Command(AtaCommand.SetMultipleMode, count: 8);
        rig.Expect(Done);
        rig.Command(AtaCommand.ReadMultiple, 10, 20);
        int[] blocks = [8, 8, 4];
        int at = 10;
        foreach (int block in blocks)
        {
            rig.Expect(Data);
            byte[] data = rig.ReadData(block * 512);
            Assert.Equal(TestImage.Sector(at), data[..512]);
            Assert.Equal(TestImage.Sector(at + block - 1), data[^512..]);
            at += block;
        }
        rig.Clock.Drain();
        Assert.Equal(4, rig.Interrupts);
        Assert.Equal(0x108, Identify(rig)[59]);
    }

    [Fact]
    public void Multiple_mode_takes_powers_of_two_up_to_16_and_0_turns_it_off()
    {
        AtaRig rig = Rig().Ready();
        foreach (int bad in new[] { 3, 17, 32, 255 })
        {
            rig.Command(AtaCommand.SetMultipleMode, count: bad);
            rig.ExpectError(AtaError.ABRT);
        }
        rig.Command(AtaCommand.SetMultipleMode, count: 0);
        rig.Expect(Done);
        rig.Command(AtaCommand.ReadMultiple);
        rig.ExpectError(AtaError.ABRT);
        rig.Command(AtaCommand.WriteMultiple);
        rig.ExpectError(AtaError.ABRT);
    }

    [Theory]
    [InlineData(0x10)]
    [InlineData(0x1F)]
    [InlineData(0x70)]
    [InlineData(0x7F)]
    [InlineData(0x40)]
    [InlineData(0xE7)]
    [InlineData(0xEA)]
    [InlineData(0xE0)]
    [InlineData(0xE1)]
    [InlineData(0xE3)]
    [InlineData(0x94)]
    [InlineData(0x97)]
    public void Commands_without_data_end_with_an_interrupt(byte command)
    {
        AtaRig rig = Rig().Ready();
        rig.Command((AtaCommand)command, 5);
        Assert.Equal(AtaStatus.BSY, rig.AlternateStatus & AtaStatus.BSY);
        rig.Expect(Done);
    }

    [Theory]
    [InlineData(0x00)] // NOP
    [InlineData(0x08)] // DEVICE RESET is for packet devices
    [InlineData(0xA0)]
    [InlineData(0xA1)]
    [InlineData(0xB0)] // SMART
    [InlineData(0x22)] // READ LONG
    [InlineData(0x50)] // FORMAT TRACK
    [InlineData(0xF1)] // SECURITY SET PASSWORD
    [InlineData(0xFF)]
    public void Unknown_commands_are_aborted(byte command)
    {
        AtaRig rig = Rig().Ready();
        rig.Command((AtaCommand)command);
        rig.ExpectError(AtaError.ABRT);
    }

    [Fact]
    public void Check_power_mode_says_active_and_native_max_the_last_sector()
    {
        AtaRig rig = Rig().Ready();
        rig.Command(AtaCommand.CheckPowerMode);
        rig.Expect(Done);
        Assert.Equal(0xFF, rig.In(2));
        rig.Command(AtaCommand.ReadNativeMaxAddress);
        rig.Expect(Done);
        Assert.Equal(((Sectors - 1) & 0xFF, (Sectors - 1) >> 8, 0), ((int)rig.In(3), (int)rig.In(4), (int)rig.In(5)));
    }

    [Fact]
    public void Verify_and_seek_find_the_end_of_the_disk()
    {
        AtaRig rig = Rig().Ready();
        rig.Command(AtaCommand.ReadVerifySectors, Sectors - 4, 4);
        rig.Expect(Done);
        rig.Command(AtaCommand.ReadVerifySectors, Sectors - 4, 5);
        rig.ExpectError(AtaError.IDNF);
        rig.CommandExt(AtaCommand.ReadVerifySectorsExt, 0, Sectors);
        rig.Expect(Done);
        rig.CommandExt(AtaCommand.ReadVerifySectorsExt, 0, Sectors + 1);
        rig.ExpectError(AtaError.IDNF);
        rig.Command(AtaCommand.Seek, Sectors);
        rig.ExpectError(AtaError.IDNF);
    }

    [Theory]
    [InlineData(0x02, 0, true)]
    [InlineData(0x82, 0, true)]
    [InlineData(0x55, 0, true)]
    [InlineData(0x66, 0, true)]
    [InlineData(0x03, 0x0C, true)] // PIO 4
    [InlineData(0x03, 0x22, true)] // multiword DMA 2
    [InlineData(0x03, 0x45, true)] // Ultra DMA 5
    [InlineData(0x03, 0x46, false)]
    [InlineData(0x03, 0x10, false)]
    [InlineData(0x05, 0x80, false)]
    [InlineData(0xD7, 0, false)]
    public void Set_features_takes_what_the_drive_has(byte feature, byte value, bool known)
    {
        AtaRig rig = Rig().Ready();
        SetFeature(rig, feature, value);
        if (known)
            rig.Expect(Done);
        else
            rig.ExpectError(AtaError.ABRT);
    }

    [Fact]
    public void The_chosen_dma_mode_shows_in_identify()
    {
        AtaRig rig = Rig().Ready();
        SetFeature(rig, 3, 0x42);
        rig.Expect(Done);
        Assert.Equal((0x0007, 0x043F), (Identify(rig)[63], Identify(rig)[88]));
        SetFeature(rig, 3, 0x21);
        rig.Expect(Done);
        Assert.Equal((0x0207, 0x003F), (Identify(rig)[63], Identify(rig)[88]));
    }

    [Fact]
    public void The_buffer_can_be_written_and_read()
    {
        AtaRig rig = Rig().Ready();
        rig.Command(AtaCommand.WriteBuffer);
        rig.WaitNotBusy();
        rig.WriteData(TestImage.Sector(4711));
        rig.Expect(Done);
        rig.Command(AtaCommand.ReadBuffer);
        rig.Expect(Data);
        Assert.Equal(TestImage.Sector(4711), rig.ReadData(512));
    }

    [Fact]
    public void Data_moves_in_double_words_too()
    {
        AtaRig rig = Rig().Ready();
        rig.Command(AtaCommand.ReadSectors, 9);
        rig.Expect(Data);
        byte[] data = new byte[512];
        for (int i = 0; i < 512; i += 4)
            BinaryPrimitives.WriteUInt32LittleEndian(data.AsSpan(i), rig.Channel.ReadPort(0x1F0, 4));
        Assert.Equal(TestImage.Sector(9), data);
        Assert.Equal(Done, rig.Status());
    }

    [Fact]
    public void A_disk_of_200_gigabytes_is_reached_by_48_bit_addresses()
    {
        const long Total = 200L << 21;
        const long Far = (1L << 28) + 12345;
        AtaRig rig = new AtaRig(new AtaDisk(ImageFile.BlankDisk(Total * 512))).Ready();
        ushort[] words = Identify(rig);
        Assert.Equal((16383, 16, 63), (words[1], words[3], words[6]));
        Assert.Equal(0x0FFFFFFF, words[60] | (words[61] << 16));
        Assert.Equal(Total, words[100] | ((long)words[101] << 16) | ((long)words[102] << 32));
        rig.CommandExt(AtaCommand.WriteSectorsExt, Far);
        rig.WaitNotBusy();
        rig.WriteData(TestImage.Sector(1));
        rig.Expect(Done);
        rig.CommandExt(AtaCommand.ReadSectorsExt, Far);
        rig.Expect(Data);
        Assert.Equal(TestImage.Sector(1), rig.ReadData(512));
        Assert.Equal(Far, LbaExt(rig));
        rig.CommandExt(AtaCommand.ReadSectorsExt, Total - 1);
        rig.Expect(Data);
        rig.ReadData(512);
        rig.CommandExt(AtaCommand.ReadSectorsExt, Total);
        rig.ExpectError(AtaError.IDNF);
        rig.CommandExt(AtaCommand.ReadNativeMaxAddressExt, 0);
        rig.Expect(Done);
        Assert.Equal(Total - 1, LbaExt(rig));
        rig.Command(AtaCommand.ReadNativeMaxAddress);
        rig.Expect(Done);
        Assert.Equal((0xFE, 0xFF, 0xFF), rig.Lba);
    }

    [Fact]
    public void The_upper_halves_show_with_HOB_until_a_register_is_written()
    {
        AtaRig rig = Rig().Ready();
        foreach (int register in new[] { 2, 3, 4, 5 })
        {
            rig.Out(register, 0x10 + register);
            rig.Out(register, 0x20 + register);
        }
        rig.Control(0x80);
        Assert.Equal((0x12, 0x13, 0x14, 0x15), (rig.In(2), rig.In(3), rig.In(4), rig.In(5)));
        rig.Out(1, 0);
        Assert.Equal((0x22, 0x23, 0x24, 0x25), (rig.In(2), rig.In(3), rig.In(4), rig.In(5)));
    }

    [Fact]
    public void A_read_only_image_aborts_writes()
    {
        var rig = new AtaRig(new AtaDisk(new BlankImage(Sectors)));
        rig.WaitNotBusy();
        rig.Command(AtaCommand.WriteSectors);
        rig.ExpectError(AtaError.ABRT);
    }

    private static AtaRig Rig(bool dma = true) => new(new AtaDisk(TestImage.Numbered(Sectors)), dma: dma);

    private static IBlockImage Image(AtaRig rig) => ((AtaDisk)rig.Channel.Master!).Image;

    private static long LbaExt(AtaRig rig)
    {
        rig.Control(0x80);
        long high = (uint)(rig.In(3) | (rig.In(4) << 8) | (rig.In(5) << 16));
        rig.Control(0);
        return (high << 24) | (uint)(rig.In(3) | (rig.In(4) << 8) | (rig.In(5) << 16));
    }

    private static void SetFeature(AtaRig rig, byte feature, byte value)
    {
        rig.Out(1, feature);
        rig.Command(AtaCommand.SetFeatures, count: value);
    }

    private static ushort[] Identify(AtaRig rig)
    {
        rig.Command(AtaCommand.IdentifyDevice);
        rig.Expect(Data);
        byte[] data = rig.ReadData(512);
        return [.. Enumerable.Range(0, 256).Select(i => BinaryPrimitives.ReadUInt16LittleEndian(data.AsSpan(i * 2)))];
    }

    private static IEnumerable<byte> MemoryBytes(ushort[] words) => words.SelectMany(w => new[] { (byte)w, (byte)(w >> 8) });

    private static string Text(ushort[] words, int first, int count) =>
        Encoding.ASCII.GetString([.. words[first..(first + count)].SelectMany(w => new[] { (byte)(w >> 8), (byte)w })]).TrimEnd();
}
