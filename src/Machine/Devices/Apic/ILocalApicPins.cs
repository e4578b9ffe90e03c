namespace Farm.Machine.Devices.Apic;

/// <summary>The processor behind a local APIC.</summary>
public interface ILocalApicPins
{
    /// <summary>Level of the request for an external interrupt; the processor answers it with <see cref="LocalApic.Acknowledge"/>.</summary>
    void SetInterrupt(bool level);

    void Nmi();

    void Smi();

    /// <summary>INIT: the processor resets; one that is not the bootstrap processor waits for <see cref="Startup"/>.</summary>
    void Init();

    /// <summary>SIPI: starts a waiting processor at vector x 1000h; one that runs ignores it.</summary>
    void Startup(byte vector);
}
