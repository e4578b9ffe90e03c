namespace Farm.Assist.Cpu;

// Model-specific registers (SDM vol. 4; AMD APM vol. 2, appendix A). Those without a meaning here but which systems write
// without asking are kept as plain storage.
public sealed unsafe partial class X86Cpu
{
    private const uint MsrTsc = 0x10, MsrApicBase = 0x1B, MsrMtrrCap = 0xFE, MsrSysenterCs = 0x174, MsrSysenterEsp = 0x175, MsrSysenterEip = 0x176;
    private const uint MsrMcgCap = 0x179, MsrMcgStatus = 0x17A, MsrMiscEnable = 0x1A0, MsrDebugControl = 0x1D9, MsrPat = 0x277, MsrMtrrDefault = 0x2FF;
    private const uint MsrEfer = 0xC0000080, MsrStar = 0xC0000081, MsrLstar = 0xC0000082, MsrCstar = 0xC0000083, MsrFmask = 0xC0000084;
    private const uint MsrFsBase = 0xC0000100, MsrGsBase = 0xC0000101, MsrKernelGsBase = 0xC0000102, MsrTscAux = 0xC0000103;

    /// <summary>MTRRs and other registers that only remember.</summary>
    private readonly Dictionary<uint, ulong> _plainMsrs = [];

    /// <summary>Time stamp counter: one tick per 10 ns of guest time.</summary>
    public ulong TimeStamp
    {
        get => InstructionCount + State->TscOffset;
        set => State->TscOffset = value - InstructionCount;
    }

    /// <summary>RDMSR; #GP(0) for a register that the model lacks.</summary>
    public ulong ReadMsr(uint index)
    {
        switch (index)
        {
            case MsrTsc: return TimeStamp;
            case MsrApicBase when Model.Has(CpuFeatures.Apic): return State->ApicBase;
            case MsrSysenterCs when Model.Has(CpuFeatures.Sep): return State->SysenterCs;
            case MsrSysenterEsp when Model.Has(CpuFeatures.Sep): return State->SysenterEsp;
            case MsrSysenterEip when Model.Has(CpuFeatures.Sep): return State->SysenterEip;
            case MsrMcgCap when Model.Has(CpuFeatures.Mca): return 0;
            case MsrMtrrCap when Model.Has(CpuFeatures.Mtrr): return 0x508;
            case MsrMiscEnable when Model.Family >= 15: return State->MiscEnable;
            case MsrPat when Model.Has(CpuFeatures.Pat): return State->Pat;
            case MsrEfer when HasEfer: return State->Efer;
            case MsrTscAux when Model.Has(CpuFeatures.Rdtscp): return Plain(index);
        }
        if (Model.Has(CpuFeatures.LongMode))
        {
            switch (index)
            {
                case MsrStar: return State->Star;
                case MsrLstar: return State->Lstar;
                case MsrCstar: return State->Cstar;
                case MsrFmask: return State->Fmask;
                case MsrFsBase: return State->Fs.Base;
                case MsrGsBase: return State->Gs.Base;
                case MsrKernelGsBase: return State->KernelGsBase;
            }
        }
        return IsPlainMsr(index) ? Plain(index) : throw Fault(Vectors.GP, 0);
    }

    /// <summary>WRMSR; #GP(0) for a register that the model lacks, or a value that it refuses.</summary>
    public void WriteMsr(uint index, ulong value)
    {
        switch (index)
        {
            case MsrTsc:
                // The P6 writes the low half and clears the high one (SDM vol. 3, 18.17.3).
                TimeStamp = Model.Family == 6 ? (uint)value : value;
                return;
            case MsrApicBase when Model.Has(CpuFeatures.Apic):
                RequireMsr((value & 0x6FF) == 0 && value >> Memory.AddressBits == 0);
                State->ApicBase = (value & ~0x100ul) | (State->ApicBase & 0x100);
                Door.SetApicBase(State->ApicBase);
                return;
            case MsrSysenterCs when Model.Has(CpuFeatures.Sep):
                State->SysenterCs = (uint)value;
                return;
            case MsrSysenterEsp when Model.Has(CpuFeatures.Sep):
                State->SysenterEsp = Canonical(value);
                return;
            case MsrSysenterEip when Model.Has(CpuFeatures.Sep):
                State->SysenterEip = Canonical(value);
                return;
            case MsrMiscEnable when Model.Family >= 15:
                State->MiscEnable = value;
                return;
            case MsrPat when Model.Has(CpuFeatures.Pat):
                RequireMsr(IsMemoryTypes(value, uncachedMinus: true));
                State->Pat = value;
                return;
            case MsrMtrrDefault when Model.Has(CpuFeatures.Mtrr):
                RequireMsr((value & ~0xC07ul) == 0 && IsMemoryType((byte)value & 7));
                _plainMsrs[index] = value;
                return;
            case MsrEfer when HasEfer:
                WriteEfer(value);
                return;
            case MsrTscAux when Model.Has(CpuFeatures.Rdtscp):
                _plainMsrs[index] = (uint)value;
                return;
        }
        if (Model.Has(CpuFeatures.LongMode) && WriteLongModeMsr(index, value))
            return;
        RequireMsr(IsPlainMsr(index) && IsMtrrValue(index, value));
        _plainMsrs[index] = value;
    }

    /// <summary>Reset: registers that only remember forget.</summary>
    internal void ResetMsrs() => _plainMsrs.Clear();

    private bool HasEfer => (Model.Features & (CpuFeatures.Syscall | CpuFeatures.Nx | CpuFeatures.LongMode)) != 0;

    private bool WriteLongModeMsr(uint index, ulong value)
    {
        switch (index)
        {
            case MsrStar:
                State->Star = value;
                return true;
            case MsrLstar:
                State->Lstar = Canonical(value);
                return true;
            case MsrCstar:
                State->Cstar = Canonical(value);
                return true;
            case MsrFmask:
                State->Fmask = (uint)value;
                return true;
            case MsrFsBase:
                State->Fs.Base = Canonical(value);
                SegmentLoaded(Seg.Fs);
                return true;
            case MsrGsBase:
                State->Gs.Base = Canonical(value);
                SegmentLoaded(Seg.Gs);
                return true;
            case MsrKernelGsBase:
                State->KernelGsBase = Canonical(value);
                return true;
            default:
                return false;
        }
    }

    private ulong Plain(uint index) => _plainMsrs.GetValueOrDefault(index);

    /// <summary>Registers without effect that systems touch unasked: each with the CPUID feature or family that brings it.</summary>
    private bool IsPlainMsr(uint index) => index switch
    {
        // P5_MC_ADDR, P5_MC_TYPE
        0 or 1 => Model.Family >= 5,

        // CESR, CTR0, CTR1 and test registers of the Pentium
        >= 2 and <= 0x14 => Model.Family == 5,

        // Platform id, EBL_CR_POWERON, microcode update trigger and signature
        0x17 or 0x2A or 0x79 or 0x8B => Model.Family >= 6,

        // Performance counters and event selects
        0xC1 or 0xC2 or 0x186 or 0x187 => Model.PerformanceCounters,

        // BBL_CR_CTL and its neighbours: the second-level cache of P6
        >= 0x88 and <= 0x8A or >= 0x116 and <= 0x11E => Model.Family == 6,
        MsrMcgStatus => Model.Has(CpuFeatures.Mca),

        // Debug control and last branches
        MsrDebugControl or (>= 0x1DB and <= 0x1DE) => Model.Family >= 6,

        // Variable MTRRs (eight), fixed ones, the default type
        >= 0x200 and <= 0x20F or 0x250 or 0x258 or 0x259 or (>= 0x268 and <= 0x26F) or MsrMtrrDefault => Model.Has(CpuFeatures.Mtrr),
        _ => false,
    };

    /// <summary>Memory types of fixed MTRRs; type and reserved bits of variable ones (SDM vol. 3, 11.11.2).</summary>
    private bool IsMtrrValue(uint index, ulong value) => index switch
    {
        0x250 or 0x258 or 0x259 or (>= 0x268 and <= 0x26F) => IsMemoryTypes(value, uncachedMinus: false),
        >= 0x200 and <= 0x20F when (index & 1) == 0 => (value & 0xF00) == 0 && IsMemoryType((byte)value) && value >> Memory.AddressBits == 0,
        >= 0x200 and <= 0x20F => (value & 0x7FF) == 0 && value >> Memory.AddressBits == 0,
        _ => true,
    };

    private static bool IsMemoryType(int type) => type is 0 or 1 or 4 or 5 or 6;

    /// <param name="types">Eight of them, a byte each.</param>
    /// <param name="uncachedMinus">Type 7 is allowed: PAT.</param>
    private static bool IsMemoryTypes(ulong types, bool uncachedMinus)
    {
        for (int i = 0; i < 64; i += 8)
        {
            var type = (byte)(types >> i);
            if (!IsMemoryType(type) && !(uncachedMinus && type == 7))
                return false;
        }
        return true;
    }

    private ulong Canonical(ulong value) => IsCanonical(value) ? value : throw Fault(Vectors.GP, 0);

    private void RequireMsr(bool valid)
    {
        if (!valid)
            throw Fault(Vectors.GP, 0);
    }
}
