using Farm.Machine.Bus;
using Farm.Machine.Network;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Nics.Ne2000;

/// <summary>An NE2000 on the ISA bus: a DP8390 without a chip identity.</summary>
public sealed class Ne2000Isa : IPortDevice
{
    private readonly Dp8390 _controller;
    private readonly ushort _base;

    public Ne2000Isa(ushort ioBase, IVirtualClock clock, InterruptLine interrupt, EthernetCable cable, MacAddress address)
    {
        _base = ioBase;
        _controller = new Dp8390(clock, () => interrupt, cable, address);
        Ports = [new(ioBase, Dp8390.PortCount, 2)];
    }

    public string Name => "NE2000";

    public IReadOnlyList<PortRange> Ports { get; }

    public void Reset() => _controller.PowerOn();

    public uint ReadPort(ushort port, int size) => _controller.ReadPort(port - _base, size);

    public void WritePort(ushort port, uint value, int size) => _controller.WritePort(port - _base, value, size);
}
