namespace Farm.Assist.Cpu;

/// <summary>Why <see cref="X86Cpu.Run"/> returned. The state is at an instruction boundary, flags materialised.</summary>
public enum StopReason : byte
{
    /// <summary>The budget, or <see cref="X86Cpu.Deadline"/>, is reached.</summary>
    Budget,

    /// <summary>HLT with nothing pending; RIP is past it.</summary>
    Halted,

    /// <summary>The door asked for it on behalf of the guest's monitor.</summary>
    AssistCall,

    /// <summary>CR0.PE is clear on a processor that may not run real mode; nothing of real mode has been executed.</summary>
    RealModeEntered,

    /// <summary>CR0.PE is set on a processor that <see cref="X86Cpu.StopsAtProtectedMode"/>.</summary>
    ProtectedModeEntered,

    /// <summary>Real-mode code loaded a segment register of <see cref="X86Cpu.WatchedSegments"/>.</summary>
    SegmentLoaded,

    /// <summary>Triple fault.</summary>
    Shutdown,

    /// <summary>The instruction at RIP is valid but not implemented, or refused: see <see cref="X86Cpu.UnsupportedAt"/>. RIP is at it.</summary>
    Unsupported,

    /// <summary><see cref="X86Cpu.Kick"/> was called.</summary>
    Kicked,

    /// <summary>The door asked for it (power off, reset, an error recorded there).</summary>
    Stopped,
}
