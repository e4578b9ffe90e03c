using Farm.Machine.Bus;
using Farm.Machine.Devices.Ide;
using Farm.Machine.Time;

namespace Farm.Machine.Tests.Storage;

/// <summary>A bus master over an array: what the PRD table describes is one run of bytes.</summary>
internal sealed class TestBusMaster : IBusMasterDma
{
    public byte[] Memory { get; } = new byte[1 << 20];

    public int Count { get; private set; }

    public int Done { get; private set; }

    public bool ToMemory { get; private set; }

    public bool Started => Running && Done < Count;

    private bool Running { get; set; }

    public void Start(AtaChannel channel, int bytes, bool toMemory)
    {
        (Count, Done, ToMemory, Running) = (bytes, 0, toMemory, true);
        channel.BusMasterStarted();
    }

    public void Stop() => Running = false;

    public int WriteToMemory(ReadOnlySpan<byte> data)
    {
        int run = ToMemory ? Math.Min(data.Length, Count - Done) : 0;
        data[..run].CopyTo(Memory.AsSpan(Done));
        Done += run;
        return run;
    }

    public int ReadFromMemory(Span<byte> data)
    {
        int run = ToMemory ? 0 : Math.Min(data.Length, Count - Done);
        Memory.AsSpan(Done, run).CopyTo(data);
        Done += run;
        return run;
    }
}

/// <summary>A channel driven through its registers, as a BIOS or a driver does.</summary>
internal sealed class AtaRig
{
    public AtaRig(AtaDevice? master = null, AtaDevice? slave = null, bool dma = true)
    {
        Channel = new AtaChannel("ata0", 0x1F0, 0x3F6, new InterruptLine(level =>
        {
            Interrupt = level;
            if (level)
                Interrupts++;
        }), Clock, Events);
        if (dma)
            Channel.BusMaster = BusMaster;
        if (master is not null)
            Channel.Attach(0, master);
        if (slave is not null)
            Channel.Attach(1, slave);
        Channel.Reset();
    }

    public VirtualClock Clock { get; } = new();

    public TestBusMaster BusMaster { get; } = new();

    public TestEvents Events { get; } = new();

    public AtaChannel Channel { get; }

    public bool Interrupt { get; private set; }

    public int Interrupts { get; private set; }

    public AtaStatus AlternateStatus => (AtaStatus)Channel.ReadPort(0x3F6, 1);

    /// <summary>LBA registers, low part first.</summary>
    public (byte Low, byte Mid, byte High) Lba => (In(3), In(4), In(5));

    public byte In(int register) => (byte)Channel.ReadPort((ushort)(0x1F0 + register), 1);

    public void Out(int register, int value) => Channel.WritePort((ushort)(0x1F0 + register), (byte)value, 1);

    public void Control(int value) => Channel.WritePort(0x3F6, (byte)value, 1);

    /// <summary>Reads Status: acknowledges the interrupt.</summary>
    public AtaStatus Status() => (AtaStatus)In(7);

    public AtaRig Ready()
    {
        WaitNotBusy();
        return this;
    }

    public void WaitNotBusy() => Clock.RunUntil(() => (AlternateStatus & AtaStatus.BSY) == 0, "BSY to clear");

    public void WaitInterrupt() => Clock.RunUntil(() => Interrupt, "INTRQ");

    /// <summary>LBA28 task file; 0 sectors are 256.</summary>
    public void Command(AtaCommand command, long lba = 0, int count = 1, int device = 0)
    {
        Out(6, 0xE0 | (device << 4) | (int)(lba >> 24));
        Out(2, count);
        Out(3, (int)lba);
        Out(4, (int)(lba >> 8));
        Out(5, (int)(lba >> 16));
        Out(7, (int)command);
    }

    public void CommandChs(AtaCommand command, int cylinder, int head, int sector, int count = 1)
    {
        Out(6, 0xA0 | head);
        Out(2, count);
        Out(3, sector);
        Out(4, cylinder);
        Out(5, cylinder >> 8);
        Out(7, (int)command);
    }

    /// <summary>48-bit task file: the upper half of each register first.</summary>
    public void CommandExt(AtaCommand command, long lba, int count = 1)
    {
        Out(6, 0x40);
        Out(2, count >> 8);
        Out(3, (int)(lba >> 24));
        Out(4, (int)(lba >> 32));
        Out(5, (int)(lba >> 40));
        Out(2, count);
        Out(3, (int)lba);
        Out(4, (int)(lba >> 8));
        Out(5, (int)(lba >> 16));
        Out(7, (int)command);
    }

    /// <summary>REP INSW.</summary>
    public byte[] ReadData(int bytes)
    {
        byte[] data = new byte[(bytes + 1) & ~1];
        for (int i = 0; i < data.Length; i += 2)
        {
            uint word = Channel.ReadPort(0x1F0, 2);
            (data[i], data[i + 1]) = ((byte)word, (byte)(word >> 8));
        }
        return data;
    }

    public void WriteData(ReadOnlySpan<byte> data)
    {
        for (int i = 0; i < data.Length; i += 2)
            Channel.WritePort(0x1F0, (uint)(data[i] | (data[i + 1] << 8)), 2);
    }

    /// <summary>Waits for INTRQ and asserts what Status shows.</summary>
    public void Expect(AtaStatus status)
    {
        WaitInterrupt();
        Assert.Equal(status, Status());
        Assert.False(Interrupt);
    }

    public void ExpectError(AtaError error)
    {
        Expect(AtaStatus.DRDY | AtaStatus.DSC | AtaStatus.ERR);
        Assert.Equal(error, (AtaError)In(1));
    }

    /// <summary>PACKET with PIO; returns all data, or null with CHECK CONDITION (Error holds the sense key).</summary>
    public byte[]? Packet(ReadOnlySpan<byte> packet, int limit = 0xFFFE, int device = 0, List<int>? chunks = null)
    {
        StartPacket(packet, limit, device);
        var data = new List<byte>();
        while (true)
        {
            WaitInterrupt();
            AtaStatus status = Status();
            if ((status & AtaStatus.DRQ) == 0)
            {
                Assert.Equal(3, In(2) & 3);
                return (status & AtaStatus.ERR) != 0 ? null : [.. data];
            }
            Assert.Equal(2, In(2) & 3);
            int count = In(4) | (In(5) << 8);
            Assert.InRange(count, 1, Math.Max(limit, 1));
            chunks?.Add(count);
            data.AddRange(ReadData(count)[..count]);
        }
    }

    public void StartPacket(ReadOnlySpan<byte> packet, int limit = 0xFFFE, int device = 0, int features = 0)
    {
        Out(6, 0xA0 | (device << 4));
        Out(1, features);
        Out(4, limit);
        Out(5, limit >> 8);
        Out(7, (int)AtaCommand.Packet);
        WaitNotBusy();
        Assert.Equal(AtaStatus.DRQ, AlternateStatus & (AtaStatus.DRQ | AtaStatus.ERR));
        Assert.Equal(1, In(2) & 3);
        Span<byte> padded = stackalloc byte[12];
        padded.Clear();
        packet.CopyTo(padded);
        WriteData(padded);
    }
}
