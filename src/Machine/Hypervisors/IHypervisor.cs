using Farm.Assist.Cpu;

namespace Farm.Machine.Hypervisors;

/// <summary>What a backend can do on this host; asked before anything is built.</summary>
public sealed record HypervisorCapabilities
{
    /// <summary>Executes real-mode code by itself (unrestricted guest, SVM): <c>native</c> is possible.</summary>
    public required bool RealMode { get; init; }

    /// <summary>Exits when the guest clears CR0.PE, before any real-mode instruction runs.</summary>
    public required bool InterceptsCr0 { get; init; }

    /// <summary>Guest time is a function of executed instructions: runs are deterministic.</summary>
    public required bool VirtualTime { get; init; }

    public required bool LongMode { get; init; }

    public required int MaxVcpus { get; init; }
}

/// <summary>A backend: soft, kvm or whp.</summary>
public interface IHypervisor
{
    string Name { get; }

    /// <summary>Null when the backend works here; else one sentence that says what is missing and what to do.</summary>
    string? Unavailable { get; }

    HypervisorCapabilities Capabilities { get; }

    /// <summary>Builds a partition; a setting that the capabilities do not allow throws <see cref="HostException"/>.</summary>
    IPartition CreatePartition(PartitionOptions options);
}

/// <param name="Vcpus">Number of virtual processors.</param>
/// <param name="RealModeAllowed">False under vm86 and full where the backend intercepts CR0: it must exit instead of executing a real-mode instruction.</param>
/// <param name="CpuModel">Guest CPU model: 486, pentium, p3, x86-64.</param>
public sealed record PartitionOptions(int Vcpus, bool RealModeAllowed, string CpuModel);

/// <summary>A virtual machine without devices: memory and processors.</summary>
public interface IPartition : IDisposable
{
    /// <summary>The guest-physical map; the backend follows its <see cref="PhysicalMemory.Changed"/>.</summary>
    PhysicalMemory Memory { get; }

    IVcpu BindVcpu(int index, ICpuDoor door);
}

/// <summary>One virtual processor. All members but <see cref="Kick"/> belong to the thread that runs it.</summary>
public interface IVcpu : IDisposable
{
    /// <summary>The state while the processor is stopped. Read after <see cref="Run"/>; what is written takes effect at the next one.</summary>
    unsafe CpuState* State { get; }

    /// <summary>Guest instructions executed by the backend where it counts them, else 0.</summary>
    ulong Instructions { get; }

    /// <summary>Level of the INTR pin.</summary>
    bool InterruptLine { get; set; }

    /// <summary>Runs until an exit. <paramref name="budget"/> bounds the instructions on backends with virtual time.</summary>
    VcpuExit Run(ulong budget);

    /// <summary>Makes <see cref="Run"/> return soon with <see cref="VcpuExitReason.Kicked"/>; any thread.</summary>
    void Kick();
}

/// <summary>Why a processor stopped. Port and MMIO accesses do not appear: they went through the door.</summary>
public enum VcpuExitReason
{
    /// <summary>The budget is used up.</summary>
    Budget,

    /// <summary>HLT with nothing pending.</summary>
    Halted,

    /// <summary>The guest-resident monitor called through its private port.</summary>
    AssistCall,

    /// <summary>CR0.PE was cleared on a processor that may not run real mode; RIP is past the instruction.</summary>
    RealModeEntered,

    /// <summary>Triple fault.</summary>
    Shutdown,

    /// <summary>The backend could not emulate an instruction (bytes in <see cref="VcpuExit.Bytes"/>).</summary>
    EmulationFailure,

    Kicked,

    /// <summary>The door asked the processor to stop (power off, reset, a fatal error recorded there).</summary>
    Stopped,
}

public readonly record struct VcpuExit(VcpuExitReason Reason, byte[]? Bytes = null);

/// <summary>The host cannot run what was asked: exit code 3, run health "infrastructure". The message says what to do.</summary>
public sealed class HostException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>The user's input is bad (file, option, image): exit code 2. The message says what, where and what to do.</summary>
public sealed class BadInputException(string message, Exception? inner = null) : Exception(message, inner);
