namespace Farm.Machine;

/// <summary>Why a machine can or shall not go on.</summary>
public enum MachineEndKind
{
    PoweredOff,
    TripleFault,

    /// <summary>No processor can ever run again: HLT with interrupts off and nothing that could wake it.</summary>
    Hang,

    /// <summary>An instruction that neither the backend nor the assist can execute.</summary>
    UnsupportedOpcode,
}

/// <param name="Kind">What happened.</param>
/// <param name="Reason">One sentence.</param>
public sealed record MachineEnd(MachineEndKind Kind, string Reason);
