using System.Buffers.Binary;
using System.Text;
using Farm.Machine.Devices.Ide;
using Farm.Machine.Storage;

namespace Farm.Machine.Tests.Storage;

public sealed class AtapiTests
{
    private const int Sectors = 1000;

    [Fact]
    public void Identify_packet_device_describes_a_cdrom_and_identify_device_is_refused()
    {
        AtaRig rig = Rig();
        rig.Command(AtaCommand.IdentifyDevice);
        rig.Clock.Drain();
        Assert.Equal(AtaStatus.ERR, rig.Status() & AtaStatus.ERR);
        Assert.Equal((AtaError.ABRT, 0x14, 0xEB), ((AtaError)rig.In(1), rig.In(4), rig.In(5)));
        rig.Command(AtaCommand.IdentifyPacketDevice);
        rig.WaitInterrupt();
        byte[] data = rig.ReadData(512);
        Assert.Equal(0x85C0, BinaryPrimitives.ReadUInt16LittleEndian(data));
        rig.Clock.Drain();
        Assert.Equal(2, rig.Interrupts);
    }

    [Fact]
    public void After_reset_a_packet_device_is_not_ready_until_commanded()
    {
        AtaRig rig = Rig();
        Assert.Equal(AtaStatus.None, rig.Status());
        Assert.Equal((1, 1, 0x14, 0xEB), (rig.In(2), rig.In(3), rig.In(4), rig.In(5)));
        rig.Out(7, (int)AtaCommand.DeviceReset);
        Assert.Equal((0x14, 0xEB), (rig.In(4), rig.In(5)));
        Assert.False(rig.Interrupt);
    }

    [Fact]
    public void Inquiry_names_the_drive_within_the_allocation()
    {
        AtaRig rig = Rig();
        byte[] data = rig.Packet([0x12, 0, 0, 0, 36])!;
        Assert.Equal(36, data.Length);
        Assert.Equal([0x05, 0x80, 0x00, 0x21, 31], data[..5]);
        Assert.Equal("FARM    CD-ROM", Encoding.ASCII.GetString(data[8..22]));
        Assert.Equal(5, rig.Packet([0x12, 0, 0, 0, 5])!.Length);
        Assert.Empty(rig.Packet([0x12, 0, 0, 0, 0])!);
    }

    [Fact]
    public void Capacity_and_sectors_read()
    {
        AtaRig rig = Rig();
        byte[] capacity = rig.Packet([0x25])!;
        Assert.Equal((uint)(Sectors - 1), BinaryPrimitives.ReadUInt32BigEndian(capacity));
        Assert.Equal(2048u, BinaryPrimitives.ReadUInt32BigEndian(capacity.AsSpan(4)));
        byte[] data = rig.Packet(Read10(995, 5))!;
        for (int i = 0; i < 5; i++)
            Assert.Equal(TestImage.Sector(995 + i, 2048), data[(i * 2048)..((i + 1) * 2048)]);
        Assert.Equal(data, rig.Packet([0xA8, 0, 0, 0, 995 >> 8, 995 & 0xFF, 0, 0, 0, 5]));
        Assert.Equal(["ata0-master read 995+5", "ata0-master read 995+5"], rig.Events.Log);
    }

    [Theory]
    [InlineData(0xFFFE)]
    [InlineData(2048)]
    [InlineData(3000)]
    [InlineData(511)]
    [InlineData(2)]
    [InlineData(1)] // one byte cannot be: the bus moves words
    public void No_chunk_exceeds_the_byte_count_limit(int limit)
    {
        AtaRig rig = Rig();
        var chunks = new List<int>();
        byte[] data = rig.Packet(Read10(7, 3), Math.Max(limit, 2), chunks: chunks)!;
        Assert.Equal(TestImage.Sector(9, 2048), data[4096..]);
        Assert.All(chunks, c => Assert.True(c <= Math.Max(limit, 2) && c % 2 == 0));
        if (limit == 2048)
            Assert.Equal([2048, 2048, 2048], chunks);
    }

    [Fact]
    public void A_large_read_comes_in_pieces_of_the_buffer()
    {
        AtaRig rig = Rig();
        byte[] data = rig.Packet(Read10(0, 100))!;
        Assert.Equal(100 * 2048, data.Length);
        for (int i = 0; i < 100; i++)
            Assert.Equal(TestImage.Sector(i, 2048), data[(i * 2048)..((i + 1) * 2048)]);
    }

    [Fact]
    public void Packets_read_by_dma()
    {
        AtaRig rig = Rig();
        rig.StartPacket(Read10(20, 100), features: 1);
        rig.BusMaster.Start(rig.Channel, 100 * 2048, toMemory: true);
        rig.WaitInterrupt();
        Assert.Equal(AtaStatus.DRDY | AtaStatus.DSC, rig.Status());
        Assert.Equal(3, rig.In(2) & 3);
        for (int i = 0; i < 100; i++)
            Assert.Equal(TestImage.Sector(20 + i, 2048), rig.BusMaster.Memory[(i * 2048)..((i + 1) * 2048)]);
        rig.StartPacket([0x12, 0, 0, 0, 36], features: 1);
        rig.BusMaster.Start(rig.Channel, 36, toMemory: true);
        rig.WaitInterrupt();
        Assert.Equal(0x05, rig.BusMaster.Memory[0]);
        rig.Status();
        rig.StartPacket([0x55, 0x10, 0, 0, 0, 0, 0, 0, 16], features: 1);
        rig.BusMaster.Start(rig.Channel, 16, toMemory: false);
        rig.WaitInterrupt();
        Assert.Equal(AtaStatus.DRDY | AtaStatus.DSC, rig.Status());
        Assert.Equal(16, rig.BusMaster.Done);
    }

    [Fact]
    public void Reading_past_the_end_is_refused_with_sense_data()
    {
        AtaRig rig = Rig();
        Assert.Null(rig.Packet(Read10(Sectors - 1, 2)));
        Assert.Equal(0x54, rig.In(1)); // sense key 5 and ABRT
        Assert.Equal((5, 0x21, 0), Sense(rig));
        Assert.Equal((0, 0, 0), Sense(rig)); // reported once
        Assert.Null(rig.Packet([0xA8, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]));
        Assert.Empty(rig.Packet(Read10(0, 0))!);
    }

    [Theory]
    [InlineData(0x0A)] // WRITE(6)
    [InlineData(0x2A)]
    [InlineData(0xA4)]
    [InlineData(0xFF)]
    public void Unknown_packets_are_illegal(byte code)
    {
        AtaRig rig = Rig();
        Assert.Null(rig.Packet([code]));
        Assert.Equal((5, 0x20, 0), Sense(rig));
        AtaRig empty = Rig(withMedium: false);
        Assert.Null(empty.Packet([code]));
        Assert.Equal((5, 0x20, 0), Sense(empty));
    }

    [Fact]
    public void An_empty_drive_says_so_and_goes_on_answering()
    {
        AtaRig rig = Rig(withMedium: false);
        foreach (byte code in new byte[] { 0x00, 0x25, 0x28, 0x2B, 0x42, 0x43, 0x51, 0xA8, 0xBE })
        {
            Assert.Null(rig.Packet([code]));
            Assert.Equal(0x20, rig.In(1));
            Assert.Equal((2, 0x3A, 1), Sense(rig));
        }
        Assert.NotNull(rig.Packet([0x12, 0, 0, 0, 36]));
        Assert.NotNull(rig.Packet([0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 64]));
        Assert.Equal(0, BinaryPrimitives.ReadUInt16BigEndian(rig.Packet([0x46, 0, 0, 0, 0, 0, 0, 0, 8])!.AsSpan(6)));
    }

    [Fact]
    public void A_changed_medium_is_a_unit_attention_and_a_media_event()
    {
        AtaRig rig = Rig();
        AtapiCdRom drive = Drive(rig);
        Assert.NotNull(rig.Packet([0x00]));
        Assert.True(drive.Eject());
        Assert.Equal((3, 1), Event(rig)); // removal, tray open
        Assert.Null(rig.Packet([0x00]));
        Assert.Equal((2, 0x3A, 2), Sense(rig));
        drive.Insert(TestImage.Numbered(50, 2048));
        Assert.NotNull(rig.Packet([0x12, 0, 0, 0, 36])); // INQUIRY does not take it
        Assert.Null(rig.Packet([0x00]));
        Assert.Equal(0x60, rig.In(1));
        Assert.Equal((6, 0x28, 0), Sense(rig));
        Assert.NotNull(rig.Packet([0x00]));
        Assert.Equal((2, 2), Event(rig)); // new medium, present
        Assert.Equal((0, 2), Event(rig));
        Assert.Equal(49u, BinaryPrimitives.ReadUInt32BigEndian(rig.Packet([0x25])));
        Assert.Equal(["ata0-master medium out", "ata0-master medium in"], rig.Events.Log);
    }

    [Fact]
    public void Request_sense_reports_a_pending_unit_attention()
    {
        AtaRig rig = Rig();
        Drive(rig).Insert(TestImage.Blank(50, 2048));
        Assert.Equal((6, 0x28, 0), Sense(rig));
        Assert.NotNull(rig.Packet([0x00]));
    }

    [Fact]
    public void The_guest_opens_and_closes_the_tray()
    {
        AtaRig rig = Rig();
        Assert.NotNull(rig.Packet([0x1B, 0, 0, 0, 2]));
        Assert.True(Drive(rig).TrayOpen);
        Assert.Null(rig.Packet([0x25]));
        Assert.Equal((2, 0x3A, 2), Sense(rig));
        Assert.Equal(0x10, rig.Packet([0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8])![1]);
        Assert.NotNull(rig.Packet([0x1B, 0, 0, 0, 3]));
        Assert.Null(rig.Packet([0x25]));
        Assert.Equal((6, 0x28, 0), Sense(rig));
        Assert.NotNull(rig.Packet([0x25]));
    }

    [Fact]
    public void A_locked_tray_stays_closed_and_the_button_asks_the_guest()
    {
        AtaRig rig = Rig();
        Assert.NotNull(rig.Packet([0x1E, 0, 0, 0, 1]));
        Assert.Null(rig.Packet([0x1B, 0, 0, 0, 2]));
        Assert.Equal((5, 0x53, 2), Sense(rig));
        Assert.False(Drive(rig).Eject());
        Assert.Equal((1, 2), Event(rig)); // eject request
        Assert.Equal((0, 2), Event(rig));
        Assert.Equal(2, rig.Packet([0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 64])![8 + 6] & 2);
        Assert.NotNull(rig.Packet([0x1E]));
        Assert.True(Drive(rig).Eject());
        Assert.False(Drive(rig).Locked);
    }

    [Fact]
    public void A_read_meets_the_tray_that_opens_under_it()
    {
        AtaRig rig = Rig();
        rig.StartPacket(Read10(0, 200));
        rig.WaitInterrupt();
        Assert.Equal(AtaStatus.DRQ, rig.Status() & AtaStatus.DRQ);
        Drive(rig).Eject(force: true);
        rig.ReadData(rig.In(4) | (rig.In(5) << 8));
        rig.WaitInterrupt();
        Assert.Equal(AtaStatus.ERR, rig.Status() & AtaStatus.ERR);
        Assert.Equal((2, 0x3A, 2), Sense(rig));
    }

    [Fact]
    public void The_table_of_contents_has_one_data_track()
    {
        AtaRig rig = Rig();
        byte[] toc = rig.Packet([0x43, 0, 0, 0, 0, 0, 0, 0, 255])!;
        Assert.Equal([0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xAA, 0, 0, 0, Sectors >> 8, Sectors & 0xFF], toc);
        byte[] msf = rig.Packet([0x43, 2, 0, 0, 0, 0, 0xAA, 0, 255])!;
        Assert.Equal([0, 10, 1, 1, 0, 0x14, 0xAA, 0, 0, 0, 15, 25], msf); // 1000 + 150 frames
        Assert.Equal([0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0], rig.Packet([0x43, 0, 1, 0, 0, 0, 0, 0, 255]));
        Assert.Equal([0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0], rig.Packet([0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0x40]));
        byte[] full = rig.Packet([0x43, 2, 2, 0, 0, 0, 0, 0, 255])!;
        Assert.Equal(4 + (4 * 11), full.Length);
        Assert.Equal([0xA0, 0xA1, 0xA2, 0x01], [full[7], full[18], full[29], full[40]]);
        Assert.Equal(4, rig.Packet([0x43, 0, 0, 0, 0, 0, 0, 0, 4])!.Length);
        Assert.Null(rig.Packet([0x43, 0, 0, 0, 0, 0, 2, 0, 255]));
        Assert.Null(rig.Packet([0x43, 0, 5, 0, 0, 0, 0, 0, 255]));
    }

    [Fact]
    public void Mode_pages_come_with_the_header_of_the_command()
    {
        AtaRig rig = Rig();
        byte[] ten = rig.Packet([0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 255])!;
        Assert.Equal(ten.Length - 2, BinaryPrimitives.ReadUInt16BigEndian(ten));
        Assert.Equal(0x2A, ten[8]);
        byte[] six = rig.Packet([0x1A, 0, 0x2A, 0, 255])!;
        Assert.Equal(six.Length - 1, six[0]);
        Assert.Equal(ten[8..], six[4..]);
        byte[] all = rig.Packet([0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 255])!;
        Assert.Equal((0x01, 0x0E), (all[8], all[16]));
        Assert.Null(rig.Packet([0x5A, 0, 0x33, 0, 0, 0, 0, 0, 255]));
        Assert.Equal((5, 0x24, 0), Sense(rig));
        Assert.Null(rig.Packet([0x5A, 0, 0xEA, 0, 0, 0, 0, 0, 255]));
        Assert.Equal((5, 0x39, 0), Sense(rig));
    }

    [Fact]
    public void Mode_select_takes_its_parameter_list()
    {
        AtaRig rig = Rig();
        rig.StartPacket([0x55, 0x10, 0, 0, 0, 0, 0, 0, 16]);
        rig.WaitInterrupt();
        Assert.Equal(AtaStatus.DRQ, rig.Status() & AtaStatus.DRQ);
        Assert.Equal((0, 16, 0), (rig.In(2) & 3, rig.In(4), rig.In(5)));
        rig.WriteData(new byte[16]);
        rig.WaitInterrupt();
        Assert.Equal(AtaStatus.DRDY | AtaStatus.DSC, rig.Status());
        Assert.Equal(3, rig.In(2) & 3);
    }

    [Fact]
    public void Configuration_names_the_profile_of_the_medium()
    {
        AtaRig cd = Rig();
        byte[] data = cd.Packet([0x46, 0, 0, 0, 0, 0, 0, 1, 0])!;
        Assert.Equal(data.Length - 4, (int)BinaryPrimitives.ReadUInt32BigEndian(data));
        Assert.Equal(0x0008, BinaryPrimitives.ReadUInt16BigEndian(data.AsSpan(6)));
        byte[] one = cd.Packet([0x46, 2, 0, 3, 0, 0, 0, 1, 0])!;
        Assert.Equal([0, 3, 3, 4], one[8..12]);
        Assert.Equal(16, one.Length);
        Assert.Null(cd.Packet([0xAD, 0, 0, 0, 0, 0, 0, 0, 8, 0]));
        var dvd = new AtaRig(new AtapiCdRom(TestImage.Blank(2_000_000, 2048)));
        dvd.Clock.Drain();
        Assert.Equal(0x0010, BinaryPrimitives.ReadUInt16BigEndian(dvd.Packet([0x46, 0, 0, 0, 0, 0, 0, 1, 0])!.AsSpan(6)));
        byte[] structure = dvd.Packet([0xAD, 0, 0, 0, 0, 0, 0, 0, 8, 4])!;
        Assert.Equal(2052, structure.Length);
        Assert.Equal(0x30000u + 2_000_000 - 1, BinaryPrimitives.ReadUInt32BigEndian(structure.AsSpan(12)));
        Assert.NotNull(dvd.Packet([0x43, 2, 0, 0, 0, 0, 0, 0, 255])); // no address beyond MSF harms
    }

    [Fact]
    public void Other_information_commands_answer()
    {
        AtaRig rig = Rig();
        Assert.Equal(34, rig.Packet([0x51, 0, 0, 0, 0, 0, 0, 0, 255])!.Length);
        Assert.Equal(36, rig.Packet([0x52, 1, 0, 0, 0, 1, 0, 0, 255])!.Length);
        Assert.Equal([0, 0x15, 0, 0], rig.Packet([0x42, 0, 0, 0, 0, 0, 0, 0, 255]));
        Assert.Equal(16, rig.Packet([0x42, 2, 0x40, 1, 0, 0, 0, 0, 255])!.Length);
        Assert.Equal(8, rig.Packet([0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8])!.Length);
        Assert.Equal([0, 2, 0x80, 0x10], rig.Packet([0x4A, 1, 0, 0, 0x02, 0, 0, 0, 8]));
        Assert.Null(rig.Packet([0x4A, 0, 0, 0, 0x10, 0, 0, 0, 8])); // asynchronous
        Assert.Equal([1, 0, 0, 0, 0, 0, 0, 9], rig.Packet([0x44, 0, 0, 0, 0, 9, 0, 0, 8]));
        Assert.NotNull(rig.Packet([0x2B, 0, 0, 0, 0, 9]));
        Assert.Null(rig.Packet([0x2B, 0, 0, 0, 0xFF, 0xFF]));
        Assert.NotNull(rig.Packet([0xBB]));
        Assert.NotNull(rig.Packet([0x4E]));
        Assert.Null(rig.Packet([0x45, 0, 0, 0, 0, 0, 0, 0, 9]));
        Assert.Equal((5, 0x64, 0), Sense(rig));
    }

    [Fact]
    public void Read_cd_builds_whole_sectors_with_valid_codes()
    {
        AtaRig rig = Rig();
        byte[] raw = rig.Packet([0xBE, 0, 0, 0, 0, 100, 0, 0, 2, 0xF8])!;
        Assert.Equal(2 * 2352, raw.Length);
        byte[] sector = raw[2352..];
        Assert.Equal([0, .. Enumerable.Repeat((byte)0xFF, 10), 0, 0x00, 0x03, 0x26, 0x01], sector[..16]); // 00:03:26, mode 1
        Assert.Equal(TestImage.Sector(101, 2048), sector[16..2064]);
        Assert.Equal(0u, EdcOf(sector.AsSpan(0, 2068))); // a CRC over data and its EDC is zero
        for (int plane = 0; plane < 2; plane++)
        {
            for (int column = 0; column < 43; column++)
                Assert.Equal((0, 0), Syndromes(sector, [.. Enumerable.Range(0, 26).Select(m => (2 * ((43 * m) + column)) + plane)]));
            for (int diagonal = 0; diagonal < 26; diagonal++)
            {
                int[] positions = [.. Enumerable.Range(0, 43).Select(m => 2 * (((44 * m) + (43 * diagonal)) % 1118)), 2 * (1118 + diagonal), 2 * (1144 + diagonal)];
                Assert.Equal((0, 0), Syndromes(sector, [.. positions.Select(p => p + plane)]));
            }
        }
        Assert.Equal(TestImage.Sector(5, 2048), rig.Packet([0xBE, 0, 0, 0, 0, 5, 0, 0, 1, 0x10]));
        Assert.Equal(TestImage.Sector(5, 2048), rig.Packet([0xB9, 0, 0, 0, 2, 5, 0, 2, 6, 0x10]));
        Assert.Empty(rig.Packet([0xBE, 0, 0, 0, 0, 5, 0, 0, 1, 0x00])!);
        Assert.Null(rig.Packet([0xBE, 0x04, 0, 0, 0, 5, 0, 0, 1, 0x10])); // CD-DA
        Assert.Null(rig.Packet([0xBE, 0, 0, 0, 0, 5, 0, 0, 1, 0x10, 1])); // sub-channel
        Assert.Null(rig.Packet([0xB9, 0, 0, 0, 0, 0, 0, 2, 6, 0x10])); // before sector 0
    }

    private static uint EdcOf(ReadOnlySpan<byte> bytes)
    {
        uint crc = 0;
        foreach (byte value in bytes)
        {
            crc ^= value;
            for (int i = 0; i < 8; i++)
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xD8018001 : crc >> 1;
        }
        return crc;
    }

    /// <summary>Sum, and sum weighted by powers of alpha, of a code word: both zero when it is valid.</summary>
    private static (int, int) Syndromes(byte[] sector, int[] positions)
    {
        int sum = 0, weighted = 0;
        foreach (int position in positions)
        {
            sum ^= sector[12 + position];
            weighted <<= 1;
            if (weighted > 255)
                weighted ^= 0x11D;
            weighted ^= sector[12 + position];
        }
        return (sum, weighted);
    }

    private static AtaRig Rig(bool withMedium = true)
    {
        var rig = new AtaRig(new AtapiCdRom(withMedium ? TestImage.Numbered(Sectors, 2048) : null));
        rig.Clock.Drain();
        return rig;
    }

    private static AtapiCdRom Drive(AtaRig rig) => (AtapiCdRom)rig.Channel.Master!;

    private static byte[] Read10(int lba, int count) =>
        [0x28, 0, (byte)(lba >> 24), (byte)(lba >> 16), (byte)(lba >> 8), (byte)lba, 0, (byte)(count >> 8), (byte)count];

    private static (int Key, int Code, int Qualifier) Sense(AtaRig rig)
    {
        byte[] sense = rig.Packet([0x03, 0, 0, 0, 18])!;
        Assert.Equal(0x70, sense[0]);
        return (sense[2], sense[12], sense[13]);
    }

    private static (int Code, int Status) Event(AtaRig rig)
    {
        byte[] data = rig.Packet([0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8])!;
        Assert.Equal([0, 6, 4, 0x10], data[..4]);
        return (data[4], data[5]);
    }
}
