namespace Farm.Assist.Cpu;

/// <summary>The one door from a processor to the machine around it. Single-threaded: called on the vCPU's thread.</summary>
public interface ICpuDoor
{
    /// <summary>Reads 1, 2 or 4 bytes from I/O space.</summary>
    uint ReadPort(ushort port, int size);

    void WritePort(ushort port, uint value, int size);

    /// <summary>Reads 1, 2, 4 or 8 bytes of physical memory that is not RAM; does not cross a page.</summary>
    ulong ReadMmio(ulong address, int size);

    void WriteMmio(ulong address, ulong value, int size);

    /// <summary>INTA: the vector of the highest-priority pending external interrupt. Called only while the interrupt line is up.</summary>
    byte AcknowledgeInterrupt();

    /// <summary>
    /// The program asks its BIOS whether a key was pressed (INT 16h, AH = 01h or 11h) or says that it has nothing to do (INT 28h, INT 2Fh
    /// with AX = 1680h): one that waits does so again and again. Called before the interrupt is delivered.
    /// </summary>
    void ProgramWaits()
    {
    }

    /// <summary>
    /// IGNNE#: with CR0.NE clear, x87 instructions go on in spite of a pending exception. A machine without the AT's wiring leaves it off.
    /// </summary>
    bool IgnoreNumericError => false;

    /// <summary>FERR#: an unmasked x87 exception waits for its interrupt (CR0.NE clear), or no longer does. Set again to its present level at will.</summary>
    void SetNumericError(bool level)
    {
    }

    /// <summary>IA32_APIC_BASE was written; the bootstrap bit is the processor's.</summary>
    void SetApicBase(ulong value)
    {
    }

    /// <summary>The local APIC's task priority register, of which CR8 is the upper half. Without a local APIC it remembers nothing.</summary>
    byte TaskPriority
    {
        get => 0;
        set { }
    }

    /// <summary>SMIACT#: the processor enters or leaves system management mode; memory that only this mode sees is to come or go.</summary>
    void SetSystemManagement(bool active)
    {
    }
}
