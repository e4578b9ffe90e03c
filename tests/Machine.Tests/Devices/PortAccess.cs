using Farm.Machine.Bus;

namespace Farm.Machine.Tests.Devices;

internal static class PortAccess
{
    public static byte In(this IPortDevice device, ushort port) => (byte)device.ReadPort(port, 1);

    public static void Out(this IPortDevice device, ushort port, byte value) => device.WritePort(port, value, 1);
}
