using Farm.Machine.Bus;
using Farm.Machine.Devices.Floppy;
using Farm.Machine.Storage;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Storage;

/// <summary>A controller with a 1.44M disk in drive 0 and an empty drive 1, driven through its registers as a BIOS does.</summary>
internal sealed class FloppyRig : IDisposable
{
    public FloppyRig(FloppyFormat? format = null, bool writeProtected = false, bool withDisk = true, FloppyDriveType? drive = null)
    {
        Format = format ?? FloppyFormat.Standard.Single(f => f.Name == "1.44M");
        A = new FloppyDrive(drive ?? Format.Drive);
        B = new FloppyDrive(FloppyDriveType.Drive1440K);
        if (withDisk)
            A.Insert(new FloppyImage(TestImage.Numbered(Format.Sectors), Format), writeProtected);
        Controller = new FloppyController(new InterruptLine(level =>
        {
            Interrupt = level;
            if (level)
                Interrupts++;
        }), Dma, Clock, [A, B], Events);
    }

    public VirtualClock Clock { get; } = new();

    public TestDma Dma { get; } = new();

    public TestEvents Events { get; } = new();

    public FloppyFormat Format { get; }

    public FloppyDrive A { get; }

    public FloppyDrive B { get; }

    public FloppyController Controller { get; }

    public bool Interrupt { get; private set; }

    public int Interrupts { get; private set; }

    public MainStatus Status => (MainStatus)In(4);

    public byte In(int register) => (byte)Controller.ReadPort((ushort)(0x3F0 + register), 1);

    public void Out(int register, int value) => Controller.WritePort((ushort)(0x3F0 + register), (byte)value, 1);

    /// <summary>DOR reset, motor on, the four SENSE INTERRUPT STATUS.</summary>
    public FloppyRig Start()
    {
        Out(2, 0x08);
        Out(2, 0x1C);
        Clock.RunUntil(() => Interrupt, "the reset's interrupt");
        for (int drive = 0; drive < 4; drive++)
            Assert.Equal([(byte)(0xC0 | drive), 0], Command(0x08));
        Assert.False(Interrupt);
        return this;
    }

    /// <summary>Sends a command, waits for the result phase where there is one, returns the result.</summary>
    public byte[] Command(params byte[] command)
    {
        Send(command);
        return Result();
    }

    public void Send(params byte[] command)
    {
        foreach (byte value in command)
        {
            Clock.RunUntil(() => (Status & (MainStatus.RequestForMaster | MainStatus.DataToHost)) == MainStatus.RequestForMaster, "RQM");
            Out(5, value);
        }
    }

    public byte[] Result()
    {
        Clock.RunUntil(() => (Status & MainStatus.RequestForMaster) != 0, "the result phase");
        var result = new List<byte>();
        while ((Status & (MainStatus.RequestForMaster | MainStatus.DataToHost)) == (MainStatus.RequestForMaster | MainStatus.DataToHost))
            result.Add(In(5));
        return [.. result];
    }

    public void Seek(int cylinder, int drive = 0)
    {
        Send(0x0F, (byte)drive, (byte)cylinder);
        Clock.RunUntil(() => Interrupt, "the end of the seek");
        Assert.Equal([(byte)(0x20 | drive), (byte)cylinder], Command(0x08));
    }

    /// <summary>READ DATA or WRITE DATA of one run of sectors by DMA.</summary>
    public byte[] Transfer(byte command, int cylinder, int head, int sector, int sectors, int? endOfTrack = null)
    {
        Dma.Program(sectors * 512);
        return Command(command, (byte)(head << 2), (byte)cylinder, (byte)head, (byte)sector, 2, (byte)(endOfTrack ?? Format.SectorsPerTrack), 0x1B, 0xFF);
    }

    public int Index(int cylinder, int head, int sector) => ((((cylinder * Format.Heads) + head) * Format.SectorsPerTrack) + sector) - 1;

    public void Dispose()
    {
        A.Dispose();
        B.Dispose();
    }
}
