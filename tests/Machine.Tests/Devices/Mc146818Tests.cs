using Farm.Machine.Bus;
using Farm.Machine.Devices.Cmos;
using Farm.Machine.Storage;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Devices;

public class Mc146818Tests
{
    private const long Second = 1_000_000_000;
    private readonly VirtualClock _clock = new();
    private readonly InterruptLine _irq = new(static _ => { });
    private readonly Mc146818 _rtc;

    public Mc146818Tests() => _rtc = Create(new CmosSettings
    {
        LowMemory = 64ul << 20,
        BaseTime = new DateTime(1999, 12, 31, 23, 59, 58, DateTimeKind.Utc),
    });

    [Fact]
    public void Clock_runs_on_guest_time_over_the_century()
    {
        Assert.Equal(0x58, Get(0x00));
        Assert.Equal(0x99, Get(0x09));
        Assert.Equal(6, Get(0x06)); // a Friday
        _clock.AdvanceTo(2 * Second);
        Assert.Equal([0x00, 0x00, 0x00, 0x07, 0x01, 0x01, 0x00, 0x20],
            new[] { 0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32 }.Select(Get));
    }

    [Fact]
    public void Twelve_hour_and_binary_formats_follow_register_B()
    {
        Set(0x0B, 0x00);
        Assert.Equal(0x91, Get(0x04)); // 11 PM in BCD
        Set(0x0B, 0x04);
        Assert.Equal(0x8B, Get(0x04));
        Set(0x0B, 0x06);
        Assert.Equal(23, Get(0x04));
    }

    [Fact]
    public void SET_freezes_the_clock_while_it_is_written_in_any_order()
    {
        Set(0x0B, 0x82);
        Set(0x07, 0x31);
        Set(0x08, 0x02); // 31 is no day of February, but March comes next
        Set(0x08, 0x03);
        Set(0x09, 0x05);
        Set(0x32, 0x20);
        Set(0x04, 0x10);
        _clock.AdvanceTo(10 * Second);
        Assert.Equal(0x58, Get(0x00));
        Set(0x0B, 0x02);
        _clock.AdvanceTo(12 * Second);
        Assert.Equal(new DateTime(2005, 3, 31, 11, 0, 0, DateTimeKind.Utc), _rtc.Calendar);
    }

    [Fact]
    public void UIP_rises_shortly_before_the_update()
    {
        Assert.Equal(0x26, Get(0x0A));
        _clock.AdvanceTo(Second - 1_000_000);
        Assert.Equal(0xA6, Get(0x0A));
        _clock.AdvanceTo(Second);
        Assert.Equal(0x26, Get(0x0A));
    }

    [Fact]
    public void Periodic_interrupt_comes_1024_times_a_second_and_needs_the_read_of_register_C()
    {
        Set(0x0B, 0x42);
        int interrupts = 0;
        for (long time = 0; time < Second; time += 100_000)
        {
            _clock.AdvanceTo(time);
            if (_irq.Level)
            {
                Assert.Equal(0xC0, Get(0x0C) & 0xC0);
                interrupts++;
            }
            Assert.False(_irq.Level);
        }
        Assert.InRange(interrupts, 1023, 1024);
        _clock.AdvanceTo(2 * Second);
        Assert.True(_irq.Level);
        Assert.Equal(0xD0, Get(0x0C) & 0xD0);
        Assert.Equal(0x00, Get(0x0C));
    }

    [Fact]
    public void Flags_are_set_without_interrupt_enables_for_polling()
    {
        _clock.AdvanceTo(Second + 1);
        Assert.False(_irq.Level);
        Assert.Equal(0x50, Get(0x0C));
        _clock.AdvanceTo(2 * Second); // midnight is where the alarm registers stand
        Assert.Equal(0x70, Get(0x0C));
    }

    [Fact]
    public void Alarm_interrupts_when_hour_minute_and_second_match()
    {
        Set(0x01, 0x05);
        Set(0x03, 0x00);
        Set(0x05, 0xC0); // any hour
        Set(0x0B, 0x22);
        _clock.AdvanceTo(6 * Second);
        Assert.False(_irq.Level);
        _clock.AdvanceTo(7 * Second);
        Assert.True(_irq.Level);
        Assert.Equal(0xA0, Get(0x0C) & 0xA0);
    }

    [Fact]
    public void Update_ended_interrupt_comes_each_second()
    {
        Set(0x0B, 0x12);
        for (int i = 1; i <= 3; i++)
        {
            _clock.AdvanceTo(i * Second);
            Assert.True(_irq.Level);
            Get(0x0C);
        }
    }

    [Fact]
    public void Reset_keeps_RAM_and_shutdown_byte_but_disables_interrupts()
    {
        Set(0x0F, 0x05);
        Set(0x40, 0x99);
        Set(0x0B, 0x72);
        _rtc.Reset();
        Assert.Equal(0x05, Get(0x0F));
        Assert.Equal(0x99, Get(0x40));
        Assert.Equal(0x02, Get(0x0B));
    }

    [Fact]
    public void Bit_7_of_the_index_masks_NMI()
    {
        _rtc.Out(0x70, 0x8F);
        Assert.True(_rtc.NmiMasked);
        _rtc.Out(0x70, 0x0F);
        Assert.False(_rtc.NmiMasked);
    }

    [Fact]
    public void Memory_disks_and_boot_order_are_where_the_Bochs_BIOS_reads_them()
    {
        var disk = new DiskParameters(new DiskGeometry(1015, 16, 63), new DiskGeometry(507, 32, 63), BiosTranslation.Lba);
        var rtc = Create(new CmosSettings
        {
            LowMemory = 128ul << 20,
            HighMemory = 1ul << 30,
            Disk0 = disk,
            DriveB = FloppyDriveType.Drive1200K,
            BootOrder = [BootDevice.Cdrom, BootDevice.Disk, BootDevice.Floppy],
            SkipFloppySignatureCheck = false,
        });
        int Word(int at) => rtc[at] | rtc[at + 1] << 8;
        Assert.Equal(640, Word(0x15));
        Assert.Equal(0xFC00, Word(0x17));
        Assert.Equal(0xFC00, Word(0x30));
        Assert.Equal(112 * 16, Word(0x34));
        Assert.Equal(0x4000, Word(0x5B));
        Assert.Equal(0x42, rtc[0x10]);
        Assert.Equal(0x47, rtc[0x14]);
        Assert.Equal(0xF0, rtc[0x12]);
        Assert.Equal(47, rtc[0x19]);
        Assert.Equal(1015, Word(0x1B));
        Assert.Equal(16, rtc[0x1D]);
        Assert.Equal(0xC8, rtc[0x20]);
        Assert.Equal(63, rtc[0x23]);
        Assert.Equal(1, rtc[0x39]);
        Assert.Equal(0x23, rtc[0x3D]);
        Assert.Equal(0x10, rtc[0x38]);
        int sum = Enumerable.Range(0x10, 0x1E).Sum(at => rtc[at]);
        Assert.Equal(sum, rtc[0x2E] << 8 | rtc[0x2F]);
    }

    private Mc146818 Create(CmosSettings settings) => new(_clock, _irq, settings);

    private int Get(int address)
    {
        _rtc.Out(0x70, (byte)address);
        return _rtc.In(0x71);
    }

    private void Set(int address, byte value)
    {
        _rtc.Out(0x70, (byte)address);
        _rtc.Out(0x71, value);
    }
}
