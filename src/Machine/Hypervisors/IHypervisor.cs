using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Time;

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

    /// <summary>CR4.UMIP may be set on its processors.</summary>
    public required bool Umip { get; init; }

    /// <summary>Its processors can bring local APICs of their own (the kernel's, the platform's), see <see cref="PartitionOptions.LocalApics"/>; else the machine's are used.</summary>
    public bool OwnLocalApics { get; init; }

    /// <summary>
    /// They suit a single processor too. Else that has the machine's: with them no idle time is skipped (<see cref="IVcpu.TimeStampRate"/>).
    /// </summary>
    public bool OwnLocalApicForOne { get; init; }

    /// <summary>What its emulation fails at the assist cannot execute either: both are the same interpreter.</summary>
    public bool EmulatesLikeAssist { get; init; }

    /// <summary>SMI# and RSM, with memory that only system management mode sees.</summary>
    public bool SystemManagement => VirtualTime;

    /// <summary>Its processors store to memory without the map noticing.</summary>
    public bool StoresUnseen => !VirtualTime;
}

/// <summary>A backend: soft, kvm or whp.</summary>
public interface IHypervisor
{
    string Name { get; }

    /// <summary>Null when the backend works here; else one sentence that says what is missing and what to do.</summary>
    string? Unavailable { get; }

    /// <summary>The processor's own virtualization runs the guest. A backend without it works by name, but <c>auto</c> does not prefer it to soft.</summary>
    bool Accelerated { get; }

    HypervisorCapabilities Capabilities { get; }

    /// <summary>What an emulation failure of this backend is called in reports: one of <see cref="Assist.Reports.OpcodeReasons"/>.</summary>
    string FailureReason { get; }

    /// <summary>Builds a partition; a setting that the capabilities do not allow throws <see cref="HostException"/>.</summary>
    IPartition CreatePartition(PartitionOptions options);
}

/// <param name="Vcpus">Number of virtual processors.</param>
/// <param name="RealModeAllowed">False under vm86 and full: the backend exits instead of executing a real-mode instruction, or at the next exit where it does not intercept CR0.</param>
/// <param name="CpuModel">Guest CPU model.</param>
/// <param name="LocalApics">
/// The processors have the backend's own local APICs; only with <see cref="HypervisorCapabilities.OwnLocalApics"/>. Not under vm86 and full:
/// their interrupts would enter the monitor past its gate for external ones, and the assist's interpreter could not reach them.
/// </param>
public sealed record PartitionOptions(int Vcpus, bool RealModeAllowed, CpuModel CpuModel, bool LocalApics = false);

/// <summary>A virtual machine without devices: memory and processors.</summary>
public interface IPartition : IDisposable
{
    /// <summary>The guest-physical map; the backend follows its <see cref="PhysicalMemory.Changed"/>.</summary>
    PhysicalMemory Memory { get; }

    IVcpu BindVcpu(int index, ICpuDoor door);

    /// <summary>The processors' own local APICs; null: they are the machine's.</summary>
    ILocalApics? LocalApics => null;
}

/// <summary>
/// A backend's own local APICs, as the machine around them sees them. The 8259's INTR is <see cref="IVcpu.InterruptLine"/> of the bootstrap
/// processor: the backend looks whether LINT0 is open to it.
/// </summary>
public interface ILocalApics
{
    /// <summary>Delivers an IOAPIC's message; false: nobody accepts it. Any thread.</summary>
    bool Send(ApicMessage message);

    /// <summary>
    /// What an input of the IOAPIC sends as a level-triggered interrupt, masked or not; null: nothing that has an end. For a backend that tells
    /// only of ends that it was asked for; whoever touches the machine calls it.
    /// </summary>
    void Redirect(int input, ApicMessage? message)
    {
    }

    /// <summary>Called when a level-triggered interrupt is ended, with its vector; on the processor's thread.</summary>
    Action<byte>? Ended { get; set; }

    /// <summary>
    /// Called when INIT reaches the bootstrap processor, which the machine restarts; on the thread of the processor that sent it. Never by a
    /// backend that restarts it itself, at FFFFFFF0h.
    /// </summary>
    Action? InitRequested { get; set; }
}

/// <summary>
/// One virtual processor. All members but <see cref="Kick"/> belong to the thread that runs it; with a <see cref="Gate"/>
/// <see cref="InterruptLine"/> and <see cref="KickAfter"/> to whoever holds that.
/// </summary>
public interface IVcpu : IVcpuState, IDisposable
{
    /// <summary>Level of the INTR pin.</summary>
    bool InterruptLine { get; set; }

    /// <summary>CS and (E)IP for records of what the processor does: cheap, and allowed to a device that answers a read.</summary>
    unsafe CodePosition Position => CodePosition.Of(State);

    /// <summary>
    /// Where several processors run at once: held by the caller of <see cref="Run"/>, given up while guest code executes. Only with
    /// <see cref="HypervisorCapabilities.OwnLocalApics"/>.
    /// </summary>
    object? Gate
    {
        get => null;
        set => throw new InvalidOperationException("The backend runs one processor at a time.");
    }

    /// <summary>Runs until an exit. <paramref name="budget"/> bounds the instructions on backends with virtual time.</summary>
    VcpuExit Run(ulong budget);

    /// <summary>Of <see cref="Instructions"/>, those executed in real mode.</summary>
    ulong RealModeInstructions { get; }

    /// <summary>For the door, during <see cref="Run"/> on its thread: return after the instruction in execution, with AssistCall or Stopped.</summary>
    void RequestStop(VcpuExitReason reason);

    /// <summary>For the door: the present run ends after at most so many more instructions (a timer was armed). Only with virtual time.</summary>
    void LimitTo(ulong instructions);

    /// <summary>The present or next run ends as <see cref="VcpuExitReason.Kicked"/> after so much host time. Only without virtual time; the last call holds.</summary>
    void KickAfter(long nanoseconds);

    /// <summary>
    /// The pace of the time-stamp counter, alike on all processors of a partition; null: the counter cannot be moved, or another clock of the
    /// backend's own (a local APIC's timer) would stay behind, so that idle time really has to pass.
    /// </summary>
    ClockRate? TimeStampRate { get; }

    /// <summary>Moves the guest's time-stamp counter on, without a look at the rest of its state. Only with a <see cref="TimeStampRate"/>.</summary>
    void AdvanceTimeStamp(ulong ticks);

    /// <summary>
    /// Processor time that the host has given to the thread, in nanoseconds; differences count. Null: the backend cannot tell. Cheap enough to
    /// be asked at each assist call.
    /// </summary>
    long? ProcessorTime => null;

    /// <summary>
    /// What runs next may clear CR0.PE; at first it may. Where it cannot (under the monitor), a backend that does not intercept it need not
    /// look after each exit.
    /// </summary>
    bool MayLeaveProtectedMode
    {
        set
        {
        }
    }

    /// <summary>Latches a non-maskable interrupt.</summary>
    void PendNmi();

    /// <summary>RESET and INIT: what is latched is gone.</summary>
    void ForgetEvents()
    {
    }

    /// <summary>Latches SMI#. Only with <see cref="HypervisorCapabilities.SystemManagement"/>.</summary>
    void PendSmi() => throw new InvalidOperationException("The backend has no system management mode.");

    /// <summary>SMIs taken.</summary>
    ulong Smis => 0;

    /// <summary>The last taken branches, newest first, where the backend knows them.</summary>
    IReadOnlyList<(ulong From, ulong To)> LastBranches();

    /// <summary>Makes <see cref="Run"/> return soon with <see cref="VcpuExitReason.Kicked"/>; any thread.</summary>
    void Kick();
}

/// <summary>Where a processor executes.</summary>
/// <param name="Selector">CS.</param>
/// <param name="Offset">(E)IP or RIP, of the instruction in execution or the next.</param>
/// <param name="Linear">Linear address of it.</param>
public readonly record struct CodePosition(ushort Selector, ulong Offset, ulong Linear)
{
    public static unsafe CodePosition Of(CpuState* state) => new(state->Cs.Selector, state->Rip, state->Cs.Base + state->Rip);
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

    /// <summary>
    /// CR0.PE is clear on a processor that may not run real mode; where the backend intercepts CR0, RIP is just past the instruction that
    /// cleared it.
    /// </summary>
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
