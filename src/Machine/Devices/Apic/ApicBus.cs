using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Apic;

/// <summary>
/// What connects the local APICs, the IOAPICs and the 8259's INTR. On the MMIO bus it is the page FEE00000h, which shows each
/// processor its own local APIC.
/// </summary>
public sealed class ApicBus : IMmioDevice
{
    public const ulong LocalApicBase = 0xFEE0_0000;
    public const ulong PageSize = 0x1000;

    private const byte PhysicalBroadcast = 0xFF;

    private readonly List<LocalApic> _apics = [];
    private readonly List<IoApic> _ioApics = [];
    private int _lastArbitration;

    /// <summary>The processor that runs now: whose local APIC an access to the page reaches.</summary>
    public int CurrentProcessor { get; set; }

    public string Name => "local APIC";

    public IReadOnlyList<LocalApic> Apics => _apics;

    /// <summary>The 8259 pair's INTR: goes to LINT0 of every local APIC.</summary>
    public void SetExternalInterrupt(bool level)
    {
        foreach (var apic in _apics)
            apic.SetLint0(level);
    }

    /// <summary>The NMI wire: LINT1 of every local APIC.</summary>
    public void SetNmi(bool level)
    {
        foreach (var apic in _apics)
            apic.SetLint1(level);
    }

    public void Reset()
    {
        foreach (var apic in _apics)
            apic.Reset();
    }

    public ulong ReadMmio(ulong address, int size)
    {
        if (Current() is not { Enabled: true } apic)
            return ulong.MaxValue;
        int offset = (int)(address & (PageSize - 1));
        int lane = offset & 3;
        ulong value = (offset & 0xC) == 0 ? apic.Read(offset & ~3) : 0;
        return value >> (8 * lane);
    }

    public void WriteMmio(ulong address, ulong value, int size)
    {
        int offset = (int)(address & (PageSize - 1));
        // Registers are 32 bits wide on 16-byte boundaries; other accesses are undefined and dropped.
        if (size >= 4 && (offset & 0xF) == 0 && Current() is { Enabled: true } apic)
            apic.Write(offset, (uint)value);
    }

    /// <summary>Delivers a message to every local APIC that it addresses. False when none accepts it.</summary>
    public bool Send(ApicMessage message)
    {
        if (message.Mode == DeliveryMode.LowestPriority)
            return SendLowestPriority(message);
        bool accepted = false;
        foreach (var apic in _apics)
        {
            if (Addresses(message, apic))
            {
                apic.Deliver(message);
                accepted = true;
            }
        }
        return accepted;
    }

    internal void Add(LocalApic apic) => _apics.Add(apic);

    internal void Add(IoApic ioApic) => _ioApics.Add(ioApic);

    /// <summary>Shorthand destinations of the interrupt command register.</summary>
    internal void SendShorthand(ApicMessage message, LocalApic source, bool includingSelf)
    {
        foreach (var apic in _apics)
        {
            if (apic.Enabled && (apic != source || includingSelf))
                apic.Deliver(message);
        }
    }

    internal void BroadcastEoi(byte vector)
    {
        foreach (var ioApic in _ioApics)
            ioApic.EndOfInterrupt(vector);
    }

    private LocalApic? Current() => (uint)CurrentProcessor < (uint)_apics.Count ? _apics[CurrentProcessor] : null;

    private static bool Addresses(ApicMessage message, LocalApic apic)
    {
        if (!apic.Enabled)
            return false;
        return message.Logical
            ? apic.MatchesLogical(message.Destination)
            : message.Destination == PhysicalBroadcast || message.Destination == apic.Id;
    }

    /// <summary>The lowest processor priority wins; equal ones take turns.</summary>
    private bool SendLowestPriority(ApicMessage message)
    {
        LocalApic? best = null;
        int bestIndex = 0;
        for (int i = 1; i <= _apics.Count; i++)
        {
            int index = (_lastArbitration + i) % _apics.Count;
            var apic = _apics[index];
            if (!Addresses(message, apic) || !apic.SoftwareEnabled || best is not null && apic.ProcessorPriority >= best.ProcessorPriority)
                continue;
            best = apic;
            bestIndex = index;
        }
        if (best is null)
            return false;
        _lastArbitration = bestIndex;
        best.Deliver(message with { Mode = DeliveryMode.Fixed });
        return true;
    }
}
