using Farm.Assist.Cpu;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Devices.Pic;
using Farm.Machine.Hypervisors;
using Farm.Machine.Time;

namespace Farm.Machine;

/// <summary>
/// The interrupt controllers and their wires: ISA wires to the 8259 pair and to the IOAPIC; the pair's INTR to LINT0 of every local APIC
/// (virtual wire mode, MP specification 1.4, 3.6.2.1) and to input 0 of the IOAPIC; NMI to LINT1.
/// </summary>
internal sealed class InterruptControllers
{
    private readonly ulong[] _isaInterrupts = new ulong[IrqHub.Wires];

    /// <param name="clock">Guest time, for the local APICs' timers.</param>
    /// <param name="processors">Pins of the processors, the bootstrap processor first.</param>
    /// <param name="model">A model without a local APIC gets neither those nor an IOAPIC: INTR is the 8259's.</param>
    /// <param name="own">Local APICs that the backend's processors bring: they take the IOAPIC's messages, and the pair's INTR at the bootstrap processor.</param>
    public InterruptControllers(VirtualClock clock, IReadOnlyList<ILocalApicPins> processors, CpuModel model, ILocalApics? own)
    {
        bool apics = model.Has(CpuFeatures.Apic);
        if (apics)
            IoApic = new IoApic(Bus);
        Pic = new Pic8259Pair(new InterruptLine(level =>
        {
            if (LocalApics.Count == 0)
                processors[0].SetInterrupt(level);
            else
                Bus.SetExternalInterrupt(level);
            IoApic?.SetInput(0, level);
        }));
        if (own is not null)
        {
            Bus.Elsewhere = own.Send;
            Bus.Redirected = own.Redirect;
            own.Ended = Bus.BroadcastEoi;
        }
        else if (apics)
        {
            for (int i = 0; i < processors.Count; i++)
                _ = new LocalApic((byte)i, Bus, clock, processors[i], AcknowledgePic);
        }
        Irq = IoApic is { } ioApic ? new IrqHub(Pic.SetInput, ioApic.SetIsaInterrupt) : new IrqHub(Pic.SetInput);
    }

    public ApicBus Bus { get; } = new();

    public Pic8259Pair Pic { get; }

    public IoApic? IoApic { get; }

    public IReadOnlyList<LocalApic> LocalApics => Bus.Apics;

    /// <summary>The ISA interrupt wires.</summary>
    public IrqHub Irq { get; }

    /// <summary>What a reset reaches beside the 8259 pair.</summary>
    public IEnumerable<IDevice> Apics => IoApic is { } ioApic ? [ioApic, .. LocalApics] : [];

    /// <summary>Interrupts taken, by who gave the vector: irqN for the 8259's, apicVV for a local APIC's vector; those that never came are left out.</summary>
    public IReadOnlyDictionary<string, ulong> Counts()
    {
        var counts = new SortedDictionary<string, ulong>(StringComparer.Ordinal);
        for (int irq = 0; irq < _isaInterrupts.Length; irq++)
            Add($"irq{irq}", _isaInterrupts[irq]);
        for (int vector = 0; vector < 256; vector++)
            Add($"apic{vector:X2}", LocalApics.Aggregate(0ul, (sum, apic) => sum + apic.Accepted[vector]));
        return counts;

        void Add(string name, ulong count)
        {
            if (count != 0)
                counts[name] = count;
        }
    }

    /// <summary>INTA of the 8259 pair.</summary>
    public byte AcknowledgePic()
    {
        byte vector = Pic.Acknowledge();
        _isaInterrupts[(vector & 7) + ((vector & 0xF8) == Pic.MasterVectorBase ? 0 : 8)]++;
        return vector;
    }
}
