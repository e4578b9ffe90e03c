using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Lpt;

/// <summary>
/// A standard parallel port (IBM PC Technical Reference, "Printer adapter") with a printer that takes every byte at once.
/// </summary>
public sealed class ParallelPort(string name, ushort basePort, InterruptLine irq) : IPortDevice
{
    public const ushort Lpt1 = 0x378;

    private const LptStatus Idle = LptStatus.NotBusy | LptStatus.NotAcknowledge | LptStatus.Selected | LptStatus.NotError;

    private byte _data;
    private LptControl _control;

    public string Name => name;

    public IReadOnlyList<PortRange> Ports { get; } = [new(basePort, 3)];

    /// <summary>Gets each byte that is strobed to the printer.</summary>
    public Action<byte>? Output { get; set; }

    public void Reset()
    {
        _data = 0;
        _control = LptControl.NotInitialize | LptControl.SelectIn;
        irq.Lower();
    }

    public uint ReadPort(ushort port, int size) => (port - basePort) switch
    {
        0 => _data,
        1 => (byte)Idle,
        _ => (uint)_control | 0xC0,
    };

    public void WritePort(ushort port, uint value, int size)
    {
        switch (port - basePort)
        {
            case 0:
                _data = (byte)value;
                break;
            case 2:
                var control = (LptControl)value & LptControl.All;
                bool strobed = (control & ~_control & LptControl.Strobe) != 0;
                _control = control;
                irq.Lower();
                if (!strobed)
                    break;
                Output?.Invoke(_data);
                // ACK# rises at once; the level stays until the next access so that an edge-triggered input sees it.
                irq.Set((control & LptControl.InterruptEnable) != 0);
                break;
        }
    }

    [Flags]
    private enum LptStatus : byte
    {
        NotError = 0x08,
        Selected = 0x10,
        PaperOut = 0x20,
        NotAcknowledge = 0x40,
        NotBusy = 0x80,
    }

    [Flags]
    private enum LptControl : byte
    {
        Strobe = 0x01,
        AutoFeed = 0x02,
        NotInitialize = 0x04,
        SelectIn = 0x08,
        InterruptEnable = 0x10,
        Direction = 0x20,
        All = 0x3F,
    }
}
