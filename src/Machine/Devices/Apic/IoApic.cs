using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Apic;

/// <summary>The 82093AA IOAPIC (data sheet 290566) at FEC00000h: 24 inputs. Input 0 takes the 8259's INTR, input 2 the timer.</summary>
public sealed class IoApic : IMmioDevice
{
    public const ulong DefaultBase = 0xFEC0_0000;
    public const ulong Length = 0x1000;
    public const int Inputs = 24;

    private const uint VersionRegister = (Inputs - 1) << 16 | 0x11;
    private const ulong Writable = 0xFF00_0000_0001_AFFF;

    private readonly ApicBus _bus;
    private readonly ulong[] _table = new ulong[Inputs];
    private readonly bool[] _lines = new bool[Inputs];
    private byte _select;
    private byte _id;

    public IoApic(ApicBus bus)
    {
        _bus = bus;
        bus.Add(this);
        Reset();
    }

    public string Name => "82093AA";

    public void Reset()
    {
        _select = 0;
        _id = 0;
        Array.Fill(_table, (ulong)Redirection.Masked);
        for (int i = 0; i < Inputs; i++)
            _bus.Redirected?.Invoke(i, null);
    }

    /// <summary>Level of an input; true is asserted whatever polarity the entry names.</summary>
    public void SetInput(int input, bool level)
    {
        if ((uint)input >= Inputs || _lines[input] == level)
            return;
        _lines[input] = level;
        if (!level)
            return;
        var entry = (Redirection)_table[input];
        // An edge on a masked input is lost (3.2.4, interrupt mask).
        if ((entry & Redirection.Level) != 0)
            ServiceLevel(input);
        else if ((entry & Redirection.Masked) == 0)
            Send(input);
    }

    /// <summary>For the <see cref="IrqHub"/>: ISA interrupt 0 arrives on input 2, the others on their own number.</summary>
    public void SetIsaInterrupt(int irq, bool level) => SetInput(irq == 0 ? 2 : irq, level);

    public ulong ReadMmio(ulong address, int size) => (address & 0xFF) switch
    {
        0x00 => _select,
        0x10 => ReadRegister(),
        _ => 0,
    };

    public void WriteMmio(ulong address, ulong value, int size)
    {
        switch (address & 0xFF)
        {
            case 0x00:
                _select = (byte)value;
                break;
            case 0x10:
                WriteRegister((uint)value);
                break;
        }
    }

    /// <summary>A local APIC ended a level-triggered interrupt.</summary>
    internal void EndOfInterrupt(byte vector)
    {
        for (int i = 0; i < Inputs; i++)
        {
            var entry = (Redirection)_table[i];
            if ((byte)entry != vector || (entry & (Redirection.Level | Redirection.RemoteIrr)) != (Redirection.Level | Redirection.RemoteIrr))
                continue;
            _table[i] &= ~(ulong)Redirection.RemoteIrr;
            ServiceLevel(i);
        }
    }

    private uint ReadRegister() => _select switch
    {
        0 or 2 => (uint)_id << 24,
        1 => VersionRegister,
        >= 0x10 and < 0x10 + 2 * Inputs => (uint)(_table[(_select - 0x10) >> 1] >> ((_select & 1) * 32)),
        _ => 0,
    };

    private void WriteRegister(uint value)
    {
        if (_select == 0)
        {
            _id = (byte)(value >> 24 & 0x0F);
            return;
        }
        int input = (_select - 0x10) >> 1;
        if (_select < 0x10 || input >= Inputs)
            return;
        int shift = (_select & 1) * 32;
        ulong written = (_table[input] & ~(0xFFFF_FFFFul << shift) | (ulong)value << shift) & Writable;
        ulong remote = _table[input] & (ulong)Redirection.RemoteIrr;
        // Switching an entry to edge-triggered clears Remote IRR, which systems use in place of an EOI.
        _table[input] = (written & (ulong)Redirection.Level) != 0 ? written | remote : written;
        var message = Message(input);
        _bus.Redirected?.Invoke(input, message.Level ? message : null);
        if ((written & (ulong)Redirection.Level) != 0)
            ServiceLevel(input);
    }

    private void ServiceLevel(int input)
    {
        var entry = (Redirection)_table[input];
        if (!_lines[input] || (entry & (Redirection.Masked | Redirection.RemoteIrr)) != 0)
            return;
        var mode = (DeliveryMode)((ulong)entry >> 8 & 7);
        if (Send(input) && mode is DeliveryMode.Fixed or DeliveryMode.LowestPriority)
            _table[input] |= (ulong)Redirection.RemoteIrr;
    }

    private bool Send(int input) => _bus.Send(Message(input));

    private ApicMessage Message(int input)
    {
        ulong entry = _table[input];
        var mode = (DeliveryMode)(entry >> 8 & 7);
        bool level = (entry & (ulong)Redirection.Level) != 0 && mode is DeliveryMode.Fixed or DeliveryMode.LowestPriority;
        return new ApicMessage(mode, (byte)entry, (byte)(entry >> 56), (entry & (ulong)Redirection.Logical) != 0, level);
    }

    [Flags]
    private enum Redirection : ulong
    {
        Logical = 0x800,
        RemoteIrr = 0x4000,
        Level = 0x8000,
        Masked = 0x1_0000,
    }
}
