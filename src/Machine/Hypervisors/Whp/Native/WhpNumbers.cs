namespace Farm.Machine.Hypervisors.Whp.Native;

// Numbers of WinHvPlatformDefs.h on x64. An enumeration's members are named as there, without the common prefix.

internal enum WhvCapabilityCode
{
    HypervisorPresent = 0x0,
    Features = 0x1,
    ExtendedVmExits = 0x2,
    ExceptionExitBitmap = 0x3,
    X64MsrExitBitmap = 0x4,
    ProcessorFeatures = 0x1001,
    ProcessorClockFrequency = 0x1004,
}

internal enum WhvPartitionPropertyCode
{
    ExtendedVmExits = 0x1,
    ExceptionExitBitmap = 0x2,
    X64MsrExitBitmap = 0x5,
    CpuidExitList = 0x1003,
    LocalApicEmulationMode = 0x1005,
    ProcessorCount = 0x1FFF,
}

[Flags]
internal enum WhvMapGpaRangeFlag
{
    None = 0,
    Read = 1,
    Write = 2,
    Execute = 4,
    TrackDirtyPages = 8,
}

internal enum WhvMemoryAccess
{
    Read = 0,
    Write = 1,
    Execute = 2,
}

internal enum WhvRunVpExitReason
{
    None = 0x0,
    MemoryAccess = 0x1,
    X64IoPortAccess = 0x2,
    UnrecoverableException = 0x4,
    InvalidVpRegisterValue = 0x5,
    UnsupportedFeature = 0x6,
    X64InterruptWindow = 0x7,
    X64Halt = 0x8,
    X64ApicEoi = 0x9,
    SynicSintDeliverable = 0xA,
    X64MsrAccess = 0x1000,
    X64Cpuid = 0x1001,
    Exception = 0x1002,
    X64Rdtsc = 0x1003,
    X64ApicSmiTrap = 0x1004,
    Hypercall = 0x1005,
    X64ApicInitSipiTrap = 0x1006,
    X64ApicWriteTrap = 0x1007,
    Canceled = 0x2001,
}

/// <summary>WHV_X64_PENDING_INTERRUPTION_TYPE.</summary>
internal enum WhvX64Pending
{
    Interrupt = 0,
    Nmi = 2,
    Exception = 3,
}

internal enum WhvX64PendingEvent
{
    Exception = 0,
    ExtInt = 5,
}

internal enum WhvX64LocalApicEmulationMode
{
    None = 0,
    XApic = 1,
    X2Apic = 2,
}

/// <summary>WHV_INTERRUPT_TYPE: a delivery mode of the APIC bus, where WHvRequestInterrupt takes it.</summary>
internal enum WhvX64InterruptType
{
    Fixed = 0,
    LowestPriority = 1,
    Nmi = 4,
    Init = 5,
    Sipi = 6,
    LocalInt1 = 9,
}

internal enum WhvX64InterruptDestinationMode
{
    Physical = 0,
    Logical = 1,
}

internal enum WhvX64InterruptTriggerMode
{
    Edge = 0,
    Level = 1,
}

/// <summary>The register, by its offset.</summary>
internal enum WhvX64ApicWriteType
{
    Ldr = 0xD0,
    Dfr = 0xE0,
    Svr = 0xF0,
    Lint0 = 0x350,
    Lint1 = 0x360,
}

/// <summary>WHV_REGISTER_NAME.</summary>
internal enum WhvRegister
{
    Rax = 0x0,
    R15 = 0xF,
    Rip = 0x10,
    Rflags = 0x11,
    Es = 0x12,
    Cs = 0x13,
    Ss = 0x14,
    Ds = 0x15,
    Fs = 0x16,
    Gs = 0x17,
    Ldtr = 0x18,
    Tr = 0x19,
    Idtr = 0x1A,
    Gdtr = 0x1B,
    Cr0 = 0x1C,
    Cr2 = 0x1D,
    Cr3 = 0x1E,
    Cr4 = 0x1F,
    Cr8 = 0x20,
    Dr0 = 0x21,
    Dr3 = 0x24,
    Dr6 = 0x25,
    Dr7 = 0x26,
    Xmm0 = 0x1000,
    Xmm15 = 0x100F,
    FpMmx0 = 0x1010,
    FpMmx7 = 0x1017,
    FpControlStatus = 0x1018,
    XmmControlStatus = 0x1019,
    Tsc = 0x2000,
    Efer = 0x2001,
    KernelGsBase = 0x2002,
    ApicBase = 0x2003,
    Pat = 0x2004,
    SysenterCs = 0x2005,
    SysenterEip = 0x2006,
    SysenterEsp = 0x2007,
    Star = 0x2008,
    Lstar = 0x2009,
    Cstar = 0x200A,
    Sfmask = 0x200B,
    PendingInterruption = unchecked((int)0x80000000),
    InterruptState = unchecked((int)0x80000001),
    PendingEvent = unchecked((int)0x80000002),
    DeliverabilityNotifications = unchecked((int)0x80000004),
    InternalActivityState = unchecked((int)0x80000005),
}

/// <summary>Bit fields, named type and field.</summary>
internal static class WhvBits
{
    public const ulong FeaturesPartialUnmap = 1 << 0, FeaturesLocalApicEmulation = 1 << 1, FeaturesDirtyPageTracking = 1 << 3;

    public const ulong ExitsX64Cpuid = 1 << 0, ExitsX64Msr = 1 << 1, ExitsException = 1 << 2;
    public const ulong ExitsX64ApicSmi = 1 << 4, ExitsX64ApicInitSipi = 1 << 6, ExitsX64ApicWriteLint0 = 1 << 7, ExitsX64ApicWriteSvr = 1 << 9;

    public const ulong MsrsUnhandled = 1 << 0, MsrsApicBaseWrite = 1 << 3;

    public const ulong ProcessorSse3 = 1 << 0, ProcessorLahfSahf = 1 << 1, ProcessorPopCnt = 1 << 7, ProcessorCmpxchg16b = 1 << 8;
    public const ulong ProcessorRdtscp = 1ul << 38, ProcessorUmip = 1ul << 58;

    public const uint StateCpl = 3 << 0, StateCr0Pe = 1 << 2, StateEferLma = 1 << 4, StateDebugActive = 1 << 5;
    public const uint StateInterruptionPending = 1 << 6, StateInterruptShadow = 1 << 12;

    public const uint ExitInstructionLength = 0xF, ExitCr8 = 0xF0;

    public const uint MemoryAccessType = 3, MemoryGpaUnmapped = 1 << 2, MemoryGvaValid = 1 << 3;

    public const uint PortIsWrite = 1 << 0, PortAccessSize = 7 << 1, PortStringOp = 1 << 4, PortRepPrefix = 1 << 5;

    public const uint MsrIsWrite = 1 << 0;

    public const uint ExceptionErrorCodeValid = 1 << 0, ExceptionSoftware = 1 << 1;

    public const ulong InterruptStateShadow = 1 << 0, InterruptStateNmiMasked = 1 << 1;

    public const ulong PendingInterruption = 1 << 0, PendingInterruptionType = 7 << 1, PendingDeliverErrorCode = 1 << 4;
    public const ulong PendingInterruptionVector = 0xFFFFul << 16, PendingErrorCode = 0xFFFFFFFFul << 32;

    public const ulong NotifyNmi = 1 << 0, NotifyInterrupt = 1 << 1;

    public const ulong PendingEvent = 1 << 0, PendingEventType = 7 << 1, PendingExtIntVector = 0xFF << 8;

    public const ulong StartupSuspend = 1 << 0, HaltSuspend = 1 << 1;

    public const ulong InterruptType = 0xFF, InterruptDestinationMode = 0xF00, InterruptTriggerMode = 0xF000;
}

/// <summary>Results that the run loop tells apart; the others are only shown.</summary>
internal static class WhvResult
{
    public const int Ok = 0;
    public const int UnknownCapability = unchecked((int)0x80370300);

    /// <summary>The name of a result where winerror.h has one for the platform, and its number.</summary>
    public static string Describe(int result)
    {
        string? name = (uint)result switch
        {
            0x80370300 => "WHV_E_UNKNOWN_CAPABILITY",
            0x80370301 => "WHV_E_INSUFFICIENT_BUFFER",
            0x80370302 => "WHV_E_UNKNOWN_PROPERTY",
            0x80370303 => "WHV_E_UNSUPPORTED_HYPERVISOR_CONFIG",
            0x80370304 => "WHV_E_INVALID_PARTITION_CONFIG",
            0x80370305 => "WHV_E_GPA_RANGE_NOT_FOUND",
            0x80370306 => "WHV_E_VP_ALREADY_EXISTS",
            0x80370307 => "WHV_E_VP_DOES_NOT_EXIST",
            0x80370308 => "WHV_E_INVALID_VP_STATE",
            0x80370309 => "WHV_E_INVALID_VP_REGISTER_NAME",
            0xC0350005 => "ERROR_HV_INVALID_PARAMETER",
            0xC0350006 => "ERROR_HV_ACCESS_DENIED",
            0xC0350008 => "ERROR_HV_OPERATION_DENIED",
            0x80070005 => "E_ACCESSDENIED",
            0x8007000E => "E_OUTOFMEMORY",
            0x80070057 => "E_INVALIDARG",
            _ => null,
        };
        return name is null ? $"{(uint)result:X8}h" : $"{name} ({(uint)result:X8}h)";
    }
}
