using Farm.Assist.Cpu;
using Farm.Machine.Devices.Apic;

namespace Farm.Machine.Hypervisors.Whp;

/// <summary>
/// The interpreter's door beside a local APIC of the platform's: its registers cannot be reached from here with what a write to them does, so
/// an access throws before the instruction has done anything, and the instruction is left to the processor.
/// </summary>
internal sealed class LocalApicDoor(ICpuDoor door, WhpLocalApic apic) : ICpuDoor
{
    private readonly LocalApicAccess _access = new();

    public bool IgnoreNumericError => door.IgnoreNumericError;

    /// <summary>The platform's.</summary>
    public byte TaskPriority { get; set; }

    public uint ReadPort(ushort port, int size) => door.ReadPort(port, size);

    public void WritePort(ushort port, uint value, int size) => door.WritePort(port, value, size);

    public ulong ReadMmio(ulong address, int size) => IsApic(address) ? throw _access : door.ReadMmio(address, size);

    public void WriteMmio(ulong address, ulong value, int size)
    {
        if (IsApic(address))
            throw _access;
        door.WriteMmio(address, value, size);
    }

    public byte AcknowledgeInterrupt() => door.AcknowledgeInterrupt();

    public void ProgramWaits() => door.ProgramWaits();

    public void SetNumericError(bool level) => door.SetNumericError(level);

    public void SetApicBase(ulong value) => apic.Base = (ApicBase)value;

    public void SetSystemManagement(bool active) => door.SetSystemManagement(active);

    private bool IsApic(ulong address) => apic.Page is { } page && address - page < LocalApic.Length;
}

/// <summary>The instruction touches the local APIC. One object for all: it may come often.</summary>
internal sealed class LocalApicAccess() : Exception("An access to the platform's local APIC.");
