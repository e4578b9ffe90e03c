namespace Farm.Assist.Cpu;

/// <summary>How an interrupt or exception came about; decides privilege checks, the EXT bit and RF.</summary>
public enum EventKind : byte
{
    /// <summary>A fault or abort of the processor; a fault pushes RF set.</summary>
    Exception,

    /// <summary>INT n, INT3, INTO: DPL of the gate is checked.</summary>
    SoftwareInterrupt,
    ExternalInterrupt,
    Nmi,

    /// <summary>#DB after an instruction, and INT1 (ICEBP): no DPL check, RF pushed as it is.</summary>
    Trap,
}
