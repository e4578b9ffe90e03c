using Farm.Machine.Devices.Ide;
using Farm.Machine.Storage;
using Farm.Machine.Tests.Hostile;

namespace Farm.Machine.Tests.Storage;

/// <summary>Guests are hostile: any sequence of port accesses must end in a defined state, without an exception, in bounded time.</summary>
public sealed class StorageFuzzTests
{
    [Fact]
    public void A_channel_with_disk_and_cdrom_survives_random_accesses() => Fuzz(random =>
    {
        using var disk = new AtaDisk(TestImage.Numbered(3000));
        using var drive = new AtapiCdRom(TestImage.Numbered(100, 2048));
        var rig = new AtaRig(disk, drive);
        for (int i = 0; i < 5000; i++)
        {
            switch (random.Next(20))
            {
                case < 6:
                    rig.Channel.WritePort((ushort)(0x1F0 + random.Next(8)), (uint)Interesting(random), 1);
                    break;
                case < 8:
                    rig.Channel.ReadPort((ushort)(0x1F0 + random.Next(8)), 1);
                    break;
                case 8:
                    rig.Control(random.Next(4) == 0 ? random.Next(256) : 0);
                    break;
                case < 11:
                    rig.Out(7, random.Next(3) == 0 ? random.Next(256) : s_commands[random.Next(s_commands.Length)]);
                    break;
                case < 13:
                    for (int n = random.Next(1, 3000); n > 0; n--)
                        rig.Channel.ReadPort(0x1F0, 1 << random.Next(3));
                    break;
                case < 15:
                    for (int n = random.Next(1, 3000); n > 0; n--)
                        rig.Channel.WritePort(0x1F0, (uint)random.Next(), 1 << random.Next(3));
                    break;
                case 15:
                    rig.Clock.Drain(50);
                    rig.Out(7, (int)AtaCommand.Packet);
                    rig.Clock.Drain(50);
                    byte[] packet = new byte[12];
                    for (int n = 1; n < 12; n++)
                        packet[n] = (byte)Interesting(random);
                    packet[0] = s_packets[random.Next(s_packets.Length)];
                    rig.WriteData(packet);
                    break;
                case 16:
                    rig.BusMaster.Start(rig.Channel, random.Next(1, 70000), random.Next(2) == 0);
                    break;
                case 17 when random.Next(4) == 0:
                    if (random.Next(2) == 0)
                        drive.Eject(random.Next(2) == 0);
                    else
                        drive.Insert(TestImage.Blank(random.Next(1, 200), 2048));
                    break;
                default:
                    rig.Clock.Drain(random.Next(1, 20));
                    break;
            }
        }
        rig.Control(4);
        rig.Control(0);
        rig.Clock.Drain();
        rig.Out(6, 0);
        Assert.Equal(AtaStatus.DRDY | AtaStatus.DSC, rig.AlternateStatus); // a reset always helps
    });

    [Fact]
    public void A_floppy_controller_survives_random_accesses() => Fuzz(random =>
    {
        using var rig = new FloppyRig(FloppyFormat.Standard[random.Next(FloppyFormat.Standard.Count)], writeProtected: random.Next(4) == 0);
        rig.Out(2, 0x1C);
        for (int i = 0; i < 5000; i++)
        {
            switch (random.Next(16))
            {
                case < 4:
                    byte first = random.Next(3) == 0 ? (byte)random.Next(256) : s_floppyCommands[random.Next(s_floppyCommands.Length)];
                    rig.Out(5, first);
                    for (int n = random.Next(10); n > 0; n--)
                        rig.Out(5, random.Next(4) == 0 ? random.Next(256) : random.Next(20));
                    break;
                case < 7:
                    for (int n = random.Next(1, 600); n > 0; n--)
                        rig.In(5);
                    break;
                case 7:
                    rig.Out(random.Next(8), Interesting(random));
                    break;
                case 8:
                    rig.Out(2, 0x1C | random.Next(4));
                    break;
                case < 11:
                    rig.Dma.Program(random.Next(1, 20000));
                    break;
                case 11 when random.Next(4) == 0:
                    FloppyFormat format = FloppyFormat.Standard[random.Next(FloppyFormat.Standard.Count)];
                    if (random.Next(2) == 0)
                        rig.A.Eject();
                    else
                        rig.A.Insert(new FloppyImage(TestImage.Blank(format.Sectors), format));
                    break;
                default:
                    rig.In(random.Next(8));
                    rig.Clock.Drain(random.Next(1, 30));
                    break;
            }
        }
        rig.Clock.Drain();
        rig.Out(2, 0);
        rig.Start(); // a reset always helps
    });

    private static readonly byte[] s_commands =
        [0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40, 0x42, 0x70, 0x90, 0x91, 0xA0, 0xA0, 0xA1, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0x08, 0xEC, 0xEF, 0xE8];

    private static readonly byte[] s_packets =
        [0x00, 0x03, 0x12, 0x15, 0x1A, 0x1B, 0x1E, 0x25, 0x28, 0x28, 0x2B, 0x42, 0x43, 0x44, 0x46, 0x4A, 0x51, 0x52, 0x55, 0x5A, 0xA8, 0xAD, 0xB9, 0xBD, 0xBE, 0xBE];

    private static readonly byte[] s_floppyCommands = [0x03, 0x04, 0x07, 0x08, 0x0F, 0x13, 0x42, 0x46, 0xE6, 0x45, 0xC5, 0x4A, 0x4C, 0x4D, 0x56, 0xD6, 0x0E, 0x8F];

    private static int Interesting(Random random) => random.Next(4) switch
    {
        0 => random.Next(4),
        1 => 0xFF - random.Next(4),
        2 => 1 << random.Next(8),
        _ => random.Next(256),
    };

    private static void Fuzz(Action<Random> round) => FuzzBudget.Run(2, round);
}
