namespace Farm.Machine.Devices.Apic;

/// <summary>What connects the local APICs, the IOAPICs and the 8259's INTR.</summary>
public sealed class ApicBus
{
    private const byte PhysicalBroadcast = 0xFF;

    private readonly List<LocalApic> _apics = [];
    private readonly List<IoApic> _ioApics = [];
    private int _lastArbitration;

    public IReadOnlyList<LocalApic> Apics => _apics;

    /// <summary>Takes the messages of the IOAPICs where the local APICs are the backend's own; false: nobody accepted it.</summary>
    public Func<ApicMessage, bool>? Elsewhere { get; set; }

    /// <summary>Told what an input of an IOAPIC sends as a level-triggered interrupt, masked or not, before it sends it; null: nothing.</summary>
    public Action<int, ApicMessage?>? Redirected { get; set; }

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

    /// <summary>Delivers a message to every local APIC that it addresses. False when none accepts it.</summary>
    public bool Send(ApicMessage message)
    {
        if (Elsewhere is { } elsewhere)
            return elsewhere(message);
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

    /// <summary>A local APIC ended the level-triggered interrupt <paramref name="vector"/>.</summary>
    public void BroadcastEoi(byte vector)
    {
        foreach (var ioApic in _ioApics)
            ioApic.EndOfInterrupt(vector);
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
