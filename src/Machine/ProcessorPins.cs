using Farm.Machine.Devices.Apic;
using Farm.Machine.Devices.Chipset;

namespace Farm.Machine;

/// <summary>The pins of one processor: interrupts go to what executes it, INIT and SIPI are requests to the machine.</summary>
internal sealed class ProcessorPins(int processor, SystemControl system) : ILocalApicPins
{
    /// <summary>Null while the machine is being built.</summary>
    public Execution? Execution { get; set; }

    public void SetInterrupt(bool level) => Execution?.SetInterruptLine(level);

    public void Nmi() => Execution?.PendNmi();

    public void Smi() => system.SmiRequested?.Invoke();

    public void Init() => system.RequestInit(processor);

    public void Startup(byte vector) => system.RequestStartup(processor, vector);
}
