namespace Farm.Machine.Divergence;

/// <summary>
/// Port accesses whose number or value depends on when they happen rather than on what the guest does: polled status and counters,
/// the clock, ends of interrupts, delays. They are left out of a trace (docs/diverge.md lists them).
/// </summary>
internal sealed class TraceNoise
{
    private byte _cmosIndex;
    private readonly Dictionary<ushort, uint> _driveSelect = [];

    /// <summary>False: leave the access out.</summary>
    /// <param name="value">Becomes what of it does not depend on time.</param>
    /// <param name="address">What the access is compared by: the port, and for an indexed register its index.</param>
    public bool Keep(string device, ushort port, ref uint value, bool write, out ulong address)
    {
        address = port;
        if (port is 0x3F2 or 0x372)
        {
            // The BIOS's tick handler turns the motor off some time after the last access.
            value &= 0x0F;
            if (!write)
                return true;
            bool changed = _driveSelect.GetValueOrDefault(port, uint.MaxValue) != value;
            _driveSelect[port] = value;
            return changed;
        }
        if (write && port == 0x61)
            value &= 0x0F; // the rest was read there: counter 2's output, the refresh toggle
        if (port == 0x70 && write)
            _cmosIndex = (byte)(value & 0x7F);
        if (port == 0x71)
        {
            address |= (_cmosIndex + 1ul) << 16;
            // Who sets the clock sets it to what it is then.
            if (write && _cmosIndex is <= 0x09 or 0x32)
                value = 0;
            return write || _cmosIndex is > 0x0D and not 0x32;
        }
        return write ? !IsTimedWrite(port, value) : !IsTimedRead(device, port);
    }

    private static bool IsTimedWrite(ushort port, uint value) => port switch
    {
        // 8259: OCW2 and OCW3. 8254: counter latch and read-back. 80h and EDh: delays. 70h: the data access carries the index.
        0x20 or 0xA0 => (value & 0x10) == 0,
        0x43 => (value & 0x30) == 0 || value >= 0xC0,
        0x70 or 0x80 or 0xED => true,
        _ => false,
    };

    private static bool IsTimedRead(string device, ushort port) => port switch
    {
        // Addresses, counts and status of the DMA controllers while they run.
        <= 0x0F or (>= 0xC0 and <= 0xDF) => true,
        0x20 or 0xA0 or (>= 0x40 and <= 0x43) or 0x61 or 0x64 or 0x70 or 0x92 => true,

        // ATA status and alternate status.
        0x1F7 or 0x177 or 0x3F6 or 0x376 => true,

        // Floppy main status, digital input.
        0x3F4 or 0x3F7 => true,

        // UART interrupt identification, line and modem status; printer status; VGA input status.
        0x3FA or 0x3FD or 0x3FE or 0x2FA or 0x2FD or 0x2FE or 0x379 or 0x279 or 0x3C2 or 0x3BA or 0x3DA => true,

        // The power management block's timer and status; bus-master status; registers of network cards and virtio devices.
        _ => device.StartsWith("PIIX4 PM", StringComparison.Ordinal)
            || (device.Contains("IDE", StringComparison.Ordinal) && (port & 7) == 2)
            || device.StartsWith("NE2000", StringComparison.Ordinal) || device.StartsWith("RTL8029", StringComparison.Ordinal)
            || device.StartsWith("RTL8139", StringComparison.Ordinal) || device.StartsWith("virtio", StringComparison.Ordinal),
    };
}
