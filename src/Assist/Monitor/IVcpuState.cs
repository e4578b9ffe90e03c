using Farm.Assist.Cpu;

namespace Farm.Assist.Monitor;

/// <summary>What the assist needs of the processor it looks after, while that is stopped.</summary>
public unsafe interface IVcpuState
{
    /// <summary>
    /// The state, flags materialised. What is written takes effect at the next run. A backend may fetch it on the first use after
    /// a stop and must have completed a pending port or MMIO access before a write to it takes effect.
    /// </summary>
    CpuState* State { get; }

    /// <summary>Instructions executed by the backend where it counts them, else 0.</summary>
    ulong Instructions { get; }
}
