namespace Farm.Machine.Hypervisors.Kvm.Native;

/// <summary>ioctl numbers of linux/kvm.h on x86-64.</summary>
internal static class KvmIoctl
{
    public const uint GetApiVersion = 0xAE00, CreateVm = 0xAE01, CheckExtension = 0xAE03, GetVcpuMmapSize = 0xAE04;
    public const uint GetSupportedCpuid = 0xC008AE05;
    public const uint CreateVcpu = 0xAE41, SetUserMemoryRegion = 0x4020AE46, SetTssAddress = 0xAE47, SetIdentityMapAddress = 0x4008AE48;
    public const uint GetDirtyLog = 0x4010AE42, RegisterCoalescedMmio = 0x4010AE67;
    public const uint Run = 0xAE80, Interrupt = 0x4004AE86, GetMsrs = 0xC008AE88, SetMsrs = 0x4008AE89, SetCpuid2 = 0x4008AE90;
    public const uint GetRegs = 0x8090AE81, GetSregs = 0x8138AE83, SetSregs = 0x4138AE84, GetVcpuEvents = 0x8040AE9F;
    public const uint GetFpu = 0x81A0AE8C, SetFpu = 0x41A0AE8D, Nmi = 0xAE9A, GetDebugRegs = 0x8080AEA1, SetDebugRegs = 0x4080AEA2;
    public const uint EnableCap = 0x4068AEA3, GetTscKhz = 0xAEA3;
    public const uint SetRegs = 0x4090AE82, SetVcpuEvents = 0x4040AEA0, GetMpState = 0x8004AE98, SetMpState = 0x4004AE99;
    public const uint GetLapic = 0x8400AE8E, SetLapic = 0x4400AE8F, SignalMsi = 0x4020AEA5, SetGsiRouting = 0x4008AE6A;
    public const uint SetDeviceAttr = 0x4018AEE1, GetDeviceAttr = 0x4018AEE2, HasDeviceAttr = 0x4018AEE3;
}

/// <summary>KVM_CAP_*.</summary>
internal enum KvmCap
{
    UserMemory = 3,
    ExtCpuid = 7,
    NrMemslots = 10,
    MpState = 14,
    CoalescedMmio = 15,
    IrqRouting = 25,
    VcpuEvents = 41,
    DebugRegs = 50,
    MaxVcpus = 66,
    SyncRegs = 74,
    SignalMsi = 77,
    ReadonlyMem = 81,
    SplitIrqchip = 121,
    ImmediateExit = 136,
    ExitOnEmulationFailure = 204,
    PmuCapability = 212,
}

/// <summary>KVM_EXIT_*.</summary>
internal enum KvmExit : uint
{
    Unknown = 0,
    Io = 2,
    Hlt = 5,
    Mmio = 6,
    IrqWindowOpen = 7,
    Shutdown = 8,
    FailEntry = 9,
    Intr = 10,
    SetTpr = 11,
    InternalError = 17,
    IoapicEoi = 26,
}

/// <summary>KVM_MP_STATE_*.</summary>
internal enum KvmMpState : uint
{
    Runnable = 0,

    /// <summary>Waits for INIT.</summary>
    Uninitialized = 1,

    /// <summary>Waits for SIPI.</summary>
    InitReceived = 2,
    Halted = 3,
    SipiReceived = 4,
}

internal static class KvmConstants
{
    public const int ApiVersion = 12;
    public const uint MemLogDirtyPages = 1, MemReadonly = 2;

    /// <summary>KVM_SYNC_X86_REGS, _SREGS, _EVENTS.</summary>
    public const ulong SyncRegs = 1, SyncSregs = 2, SyncEvents = 4, SyncAll = 7;

    public const uint InternalErrorEmulation = 1;

    /// <summary>KVM_PMU_CAP_DISABLE.</summary>
    public const int PmuDisable = 1;

    /// <summary>VMX: basic reason 33 with bit 31 (SDM 28.8).</summary>
    public const ulong InvalidGuestState = 0x80000021;

    /// <summary>KVM_INTERNAL_ERROR_* in words.</summary>
    public static string InternalError(uint error) => error switch
    {
        InternalErrorEmulation => "an instruction that it cannot emulate",
        2 => "two exceptions at once",
        3 => "an exit in the delivery of an event",
        4 => "an exit of the processor's that it does not know",
        _ => "unknown",
    };

    public const ulong EmulationFlagBytes = 1;

    /// <summary>KVM_VCPU_TSC_CTRL and its KVM_VCPU_TSC_OFFSET (Linux 5.16).</summary>
    public const uint VcpuTscCtrl = 0;
    public const ulong VcpuTscOffset = 0;

    public const byte ShadowMovSs = 1, ShadowSti = 2;

    /// <summary>KVM_VCPUEVENT_VALID_*: what of kvm_vcpu_events the kernel is to take.</summary>
    public const uint EventsNmiPending = 1, EventsShadow = 4, EventsSmm = 8;

    /// <summary>KVM_IRQ_ROUTING_MSI.</summary>
    public const uint RouteMsi = 2;
}
