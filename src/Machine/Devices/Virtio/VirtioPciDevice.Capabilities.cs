namespace Farm.Machine.Devices.Virtio;

/// <summary>The list of capabilities, and the window to the BARs in configuration space (Virtio 1.2, 4.1.4.9).</summary>
public abstract partial class VirtioPciDevice
{
    private const ushort StatusCapabilities = 0x0010;
    private const int CapabilityPointer = 0x34;
    private const byte VendorSpecific = 0x09;
    private const int FirstCapability = 0x40;
    private const int CapabilityLength = 16;

    /// <summary>The last capability is the window: its bar, offset and length can be written, its data field is the access.</summary>
    private const int Window = FirstCapability + 4 * CapabilityLength + 4;
    private const int WindowBar = Window + 4;
    private const int WindowOffset = Window + 8;
    private const int WindowLength = Window + 12;
    private const int WindowData = Window + 16;

    public override uint ReadConfig(int offset, int size)
    {
        if (offset is >= WindowData and < WindowData + 4 && AccessedByWindow() is { } access)
            return (uint)(ReadBar(access.Bar, access.Offset, access.Length) >> (8 * (offset - WindowData)));
        return base.ReadConfig(offset, size);
    }

    protected override void ConfigWritten(int offset, int size)
    {
        if (offset < WindowData + 4 && offset + size > WindowData && AccessedByWindow() is { } access)
            WriteBar(access.Bar, access.Offset, Config32(WindowData) & (uint)((1ul << (8 * access.Length)) - 1), access.Length);
    }

    private (int Bar, ulong Offset, int Length)? AccessedByWindow()
    {
        int bar = Config8(WindowBar);
        uint offset = Config32(WindowOffset), length = Config32(WindowLength);
        uint size = bar switch { LegacyBar => LegacySize, ModernBar => ModernSize, _ => 0 };
        return length is 1 or 2 or 4 && offset % length == 0 && offset < size ? (bar, offset, (int)length) : null;
    }

    private void AddCapabilities()
    {
        Initial8(CapabilityPointer, FirstCapability);
        int at = FirstCapability;
        Add(VirtioCapability.Common, 0, VirtioCommon.Length, CapabilityLength);
        Add(VirtioCapability.Isr, IsrOffset, 1, CapabilityLength);
        Add(VirtioCapability.Device, DeviceOffset, 0x1000, CapabilityLength);
        Initial32(at + CapabilityLength, NotifyMultiplier);
        Add(VirtioCapability.Notify, NotifyOffset, 0x1000, CapabilityLength + 4);
        Add(VirtioCapability.PciConfiguration, 0, 0, CapabilityLength + 4);
        Writable(WindowBar, 0xFF);
        Writable(WindowOffset, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF);

        void Add(VirtioCapability type, int offset, int length, int size)
        {
            Initial8(at, VendorSpecific);
            Initial8(at + 1, (byte)(type == VirtioCapability.PciConfiguration ? 0 : at + size));
            Initial8(at + 2, (byte)size);
            Initial8(at + 3, (byte)type);
            Initial8(at + 4, (byte)(type == VirtioCapability.PciConfiguration ? LegacyBar : ModernBar));
            Initial32(at + 8, (uint)offset);
            Initial32(at + 12, (uint)length);
            at += size;
        }
    }
}
