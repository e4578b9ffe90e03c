using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Monitor;

/// <summary>How real-mode code runs.</summary>
public enum AssistStrength
{
    /// <summary>In virtual-8086 mode under the resident monitor; what that refuses is emulated, what it cannot represent interpreted.</summary>
    Vm86,

    /// <summary>Every real-mode instruction is interpreted by the host half.</summary>
    Full,

    /// <summary>By the backend itself; the host half only helps where the backend fails to emulate an instruction.</summary>
    Native,
}

/// <summary>Settings of the assist of one processor.</summary>
public sealed record AssistOptions
{
    public AssistStrength Strength { get; init; } = AssistStrength.Vm86;

    /// <summary>Number of the processor, 0 is the bootstrap processor.</summary>
    public int Processor { get; init; }

    public CpuModel Model { get; init; } = CpuModel.P3;

    /// <summary>
    /// Sets CR4.UMIP on the processor while real-mode code runs in virtual-8086 mode, so that SMSW, SGDT and SIDT trap and show
    /// the guest its own CR0 and tables instead of the monitor's. Only where the backend accepts the bit.
    /// </summary>
    public bool TrapsTableReads { get; init; } = true;

    /// <summary>True where the processor stores to memory without the map noticing (hardware): decoded code is then never kept across its runs.</summary>
    public bool StoresUnseen { get; init; }

    /// <summary>
    /// INT 16h, by which a program asks its BIOS for a key, leaves virtual-8086 mode for the host half and so passes the door
    /// (<see cref="ICpuDoor.ProgramWaits"/>): where the processor is not an interpreter that tells by itself.
    /// </summary>
    public bool TrapsKeyQuestions { get; init; }

    /// <summary>Instructions that the assist does not emulate under <see cref="AssistStrength.Vm86"/>: each is an unsupported opcode.</summary>
    public IReadOnlySet<Code> Refused { get; init; } = RefusedByDefault;

    /// <summary>
    /// RDPMC: legal in real mode, refused by virtual-8086 mode, and no emulation can be honest about it: the assist has no
    /// performance counters to read. (Instructions that the core does not implement are unsupported without being listed. RSM,
    /// VMX and SVM instructions, and SLDT, STR, LAR, LSL, VERR, VERW and ARPL are not here: they raise #UD in real mode too, which the
    /// guest gets through its vector 6.)
    /// </summary>
    public static IReadOnlySet<Code> RefusedByDefault { get; } = new HashSet<Code> { Code.Rdpmc };
}
