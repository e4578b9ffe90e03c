using Farm.Machine.Bus;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Hpet;

/// <summary>
/// An HPET timer block (IA-PC HPET specification 1.0a) at FED00000h: a 64-bit counter of 10 ns and three comparators, the first
/// periodic, with legacy replacement routing.
/// </summary>
public sealed class HpetTimerBlock : IMmioDevice
{
    public const ulong DefaultBase = 0xFED0_0000;
    public const ulong Length = 0x400;

    internal const int Comparators = 3;

    /// <summary>Inputs of the IOAPIC that a comparator may be routed to: 16-23, and 2 and 8.</summary>
    internal const uint RoutingCapability = 0x00FF_0104;

    private const ulong PeriodFemtoseconds = 10_000_000;
    private const ulong Capabilities = PeriodFemtoseconds << 32 | 0x8086_0000 | 1 << 15 | 1 << 13 | (Comparators - 1) << 8 | 1;

    private readonly IVirtualClock _clock;
    private readonly HpetComparator[] _comparators = new HpetComparator[Comparators];
    private readonly Action<int, bool> _ioApicInput;
    private readonly InterruptLine _irq0;
    private readonly InterruptLine _irq8;
    private HpetConfiguration _configuration;
    private ulong _status;

    /// <summary>Counter value minus the pulses of guest time while it runs; its value while it is halted.</summary>
    private ulong _counter;

    /// <param name="ioApicInput">Drives an input of the IOAPIC.</param>
    /// <param name="irq0">ISA interrupt 0 under legacy replacement; the MachineBuilder disconnects the 8254's by <see cref="LegacyReplacementChanged"/>.</param>
    /// <param name="irq8">ISA interrupt 8 under legacy replacement.</param>
    public HpetTimerBlock(IVirtualClock clock, Action<int, bool> ioApicInput, InterruptLine irq0, InterruptLine irq8)
    {
        _clock = clock;
        _ioApicInput = ioApicInput;
        _irq0 = irq0;
        _irq8 = irq8;
        for (int i = 0; i < Comparators; i++)
            _comparators[i] = new HpetComparator(this, i, clock);
        Reset();
    }

    public string Name => "HPET";

    /// <summary>Called when legacy replacement routing is switched: comparators 0 and 1 take the place of the 8254 and the RTC.</summary>
    public Action<bool>? LegacyReplacementChanged { get; set; }

    internal static ClockRate Rate => new(1, 10);

    internal bool Running => (_configuration & HpetConfiguration.Enable) != 0;

    internal bool LegacyReplacement => (_configuration & HpetConfiguration.LegacyReplacement) != 0;

    private ulong Counter => CounterAt(_clock.Now);

    public void Reset()
    {
        bool legacy = LegacyReplacement;
        _configuration = 0;
        _status = 0;
        _counter = 0;
        foreach (var comparator in _comparators)
            comparator.Reset();
        if (legacy)
            SwitchLegacyReplacement();
    }

    public ulong ReadMmio(ulong address, int size)
    {
        int offset = (int)(address & (Length - 1));
        return ReadRegister(offset & ~7) >> (8 * (offset & 7));
    }

    public void WriteMmio(ulong address, ulong value, int size)
    {
        int offset = (int)(address & (Length - 1));
        int register = offset & ~7;
        if (size < 4 || (offset & 3) != 0)
            return;
        ulong mask = size == 8 ? ulong.MaxValue : 0xFFFF_FFFFul << (8 * (offset & 4));
        WriteRegister(register, value << (8 * (offset & 4)), mask);
    }

    internal ulong CounterAt(long time) => Running ? _counter + (ulong)Rate.TicksAt(time) : _counter;

    /// <summary>Guest time <paramref name="pulses"/> pulses after <paramref name="time"/>; the largest value when that is never.</summary>
    internal static long TimeAfter(long time, ulong pulses)
    {
        long now = Rate.TicksAt(time);
        return pulses > (ulong)(long.MaxValue / 16 - now) ? long.MaxValue : Rate.TimeOf(now + (long)pulses);
    }

    /// <summary>A comparator's interrupt. An edge-triggered one stays up until just before the next edge.</summary>
    internal void Interrupt(int comparator, int route, bool levelTriggered, bool asserted)
    {
        if (levelTriggered)
            _status = asserted ? _status | 1ul << comparator : _status & ~(1ul << comparator);
        if (LegacyReplacement && comparator < 2)
        {
            var line = comparator == 0 ? _irq0 : _irq8;
            if (asserted && !levelTriggered)
                line.Lower();
            line.Set(asserted);
        }
        else
        {
            if (asserted && !levelTriggered)
                _ioApicInput(route, false);
            _ioApicInput(route, asserted);
        }
    }

    private static ulong Merge(ulong old, ulong value, ulong mask) => old & ~mask | value & mask;

    private ulong ReadRegister(int register)
    {
        if (register >= 0x100)
        {
            int index = (register - 0x100) >> 5;
            return index < Comparators ? _comparators[index].Read(register & 0x18) : 0;
        }
        return register switch
        {
            0x00 => Capabilities,
            0x10 => (ulong)_configuration,
            0x20 => _status,
            0xF0 => Counter,
            _ => 0,
        };
    }

    private void WriteRegister(int register, ulong value, ulong mask)
    {
        switch (register)
        {
            case >= 0x100:
                int index = (register - 0x100) >> 5;
                if (index < Comparators)
                    _comparators[index].Write(register & 0x18, value, mask);
                break;
            case 0x10:
                WriteConfiguration((HpetConfiguration)Merge((ulong)_configuration, value, mask) & (HpetConfiguration.Enable | HpetConfiguration.LegacyReplacement));
                break;
            case 0x20:
                for (int i = 0; i < Comparators; i++)
                {
                    if ((value & mask & _status & 1ul << i) != 0)
                        _comparators[i].Acknowledge();
                }
                break;
            case 0xF0 when !Running:
                _counter = Merge(_counter, value, mask);
                break;
        }
    }

    private void WriteConfiguration(HpetConfiguration value)
    {
        ulong counter = Counter;
        var changed = value ^ _configuration;
        _configuration = value;
        if ((changed & HpetConfiguration.Enable) != 0)
            _counter = Running ? counter - (ulong)Rate.TicksAt(_clock.Now) : counter;
        if ((changed & HpetConfiguration.LegacyReplacement) != 0)
            SwitchLegacyReplacement();
        foreach (var comparator in _comparators)
            comparator.Schedule(_clock.Now);
    }

    private void SwitchLegacyReplacement()
    {
        _irq0.Lower();
        _irq8.Lower();
        LegacyReplacementChanged?.Invoke(LegacyReplacement);
    }

    [Flags]
    private enum HpetConfiguration : ulong
    {
        Enable = 1,
        LegacyReplacement = 2,
    }
}
