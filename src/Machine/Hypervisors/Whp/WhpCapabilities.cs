using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

/// <summary>What WHvGetCapability says of this host. A capability that this Windows does not know yet is not there: 0.</summary>
internal sealed record WhpCapabilities(ulong Features, ulong ExtendedExits, ulong ExceptionExits, ulong MsrExits, ulong ProcessorFeatures, ulong ClockFrequency)
{
    /// <summary>#UD: the host's processor may lack an instruction that the guest's model has.</summary>
    private const ulong UndefinedOpcode = 1ul << Vectors.UD;

    private const ulong GeneralProtection = 1ul << Vectors.GP;

    private const ulong NeededApicExits = WhvBits.ExitsX64ApicInitSipi | WhvBits.ExitsX64ApicWriteLint0 | WhvBits.ExitsX64ApicWriteSvr;

    /// <summary>Asks; throws <see cref="HostException"/> where the platform cannot run a guest of ours.</summary>
    public static unsafe WhpCapabilities Ask(WhpApi api)
    {
        if ((uint)Ask(WhvCapabilityCode.HypervisorPresent, sizeof(int)) == 0)
        {
            throw new HostException("The Windows hypervisor is not running: turn on virtualization in the firmware (in a VM: nested virtualization on its host), "
                + "see that \"bcdedit /set hypervisorlaunchtype auto\" is set and the feature \"Windows Hypervisor Platform\" is on, restart Windows, or use --backend soft.");
        }
        var found = new WhpCapabilities(
            Ask(WhvCapabilityCode.Features, sizeof(ulong)),
            Ask(WhvCapabilityCode.ExtendedVmExits, sizeof(ulong)),
            Ask(WhvCapabilityCode.ExceptionExitBitmap, sizeof(ulong)),
            Ask(WhvCapabilityCode.X64MsrExitBitmap, sizeof(ulong)),
            Ask(WhvCapabilityCode.ProcessorFeatures, sizeof(ulong)),
            Ask(WhvCapabilityCode.ProcessorClockFrequency, sizeof(ulong)));
        if ((found.ExtendedExits & WhvBits.ExitsX64Cpuid) == 0)
            throw new HostException("This Windows' hypervisor platform cannot exit on CPUID (WHV_EXTENDED_VM_EXITS.X64CpuidExit), without which no CPU model can be shown; update Windows or use --backend soft.");
        return found;

        ulong Ask(WhvCapabilityCode code, uint size)
        {
            ulong value = 0;
            uint written;
            int result = api.GetCapability(code, &value, size, &written);
            if (result == WhvResult.UnknownCapability)
                return 0;
            WhpApi.Check(result, $"WHvGetCapability({code})");
            return value;
        }
    }

    /// <summary>The platform can tell which pages a processor has stored to.</summary>
    public bool LogsStores => (Features & WhvBits.FeaturesDirtyPageTracking) != 0;

    public bool Umip => (ProcessorFeatures & WhvBits.ProcessorUmip) != 0;

    /// <summary>
    /// The exceptions to intercept: the instruction is then executed by the interpreter, which delivers the exception itself where it is
    /// the guest's own. #GP only where MSR accesses that the platform does not know cannot exit: it costs virtual-8086 programs dearly.
    /// </summary>
    public ulong InterceptedExceptions => (ExtendedExits & WhvBits.ExitsException) == 0
        ? 0
        : ExceptionExits & (UndefinedOpcode | ((ExtendedExits & WhvBits.ExitsX64Msr) == 0 ? GeneralProtection : 0));

    /// <summary>
    /// The platform can emulate local APICs, and tells what the machine must know of them: INIT and SIPI, and whether LINT0 is open to the
    /// 8259, which the platform itself does not ask.
    /// </summary>
    public bool LocalApics => (Features & WhvBits.FeaturesLocalApicEmulation) != 0 && (ExtendedExits & NeededApicExits) == NeededApicExits;

    /// <param name="localApics">The partition has the platform's.</param>
    public ulong WantedExits(bool localApics) => WhvBits.ExitsX64Cpuid | (ExtendedExits & WhvBits.ExitsX64Msr) | (InterceptedExceptions != 0 ? WhvBits.ExitsException : 0)
        | (localApics ? NeededApicExits | (ExtendedExits & WhvBits.ExitsX64ApicSmi) : 0);

    /// <summary>MSR accesses that exit: what the platform does not know, and what concerns the machine's local APIC.</summary>
    public ulong WantedMsrExits => MsrExits & (WhvBits.MsrsUnhandled | WhvBits.MsrsApicBaseWrite);

    /// <summary>
    /// The model, cut to what this host's processor has. What every 64-bit processor has is not asked for. Performance counters go: the
    /// processor itself refuses RDPMC, which a guest believes in that finds their MSRs.
    /// </summary>
    public CpuModel Cut(CpuModel model)
    {
        var missing = CpuFeatures2.None;
        foreach (var (feature, bit) in ((CpuFeatures2, ulong)[])[
            (CpuFeatures2.Sse3, WhvBits.ProcessorSse3),
            (CpuFeatures2.Lahf64, WhvBits.ProcessorLahfSahf),
            (CpuFeatures2.Popcnt, WhvBits.ProcessorPopCnt),
            (CpuFeatures2.Cx16, WhvBits.ProcessorCmpxchg16b),
        ])
        {
            if ((ProcessorFeatures & bit) == 0)
                missing |= feature;
        }
        var features = (ProcessorFeatures & WhvBits.ProcessorRdtscp) != 0 ? model.Features : model.Features & ~CpuFeatures.Rdtscp;
        return model with { Features = features, Features2 = model.Features2 & ~missing, PerformanceCounters = false };
    }
}
