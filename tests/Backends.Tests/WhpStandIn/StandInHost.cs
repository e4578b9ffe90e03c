using System.Collections.Concurrent;
using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Whp.Native;
using Iced.Intel;

namespace Farm.Backends.Tests.WhpStandIn;

/// <summary>
/// The Windows machine that the stand-in for WinHvPlatform.dll pretends to be: what its capabilities are and which instructions its
/// processor has. It belongs to the flow of the test that sets it.
/// </summary>
internal sealed record StandInHost
{
    private static readonly AsyncLocal<StandInHost?> Local = new();
    private static readonly ConcurrentQueue<string> AllComplaints = new();

    /// <summary>Calls that the real platform would refuse or misunderstand, by any test so far.</summary>
    public static IReadOnlyCollection<string> Complaints => AllComplaints;

    public static StandInHost Current
    {
        get => Local.Value ??= new StandInHost();
        set => Local.Value = value;
    }

    public bool HypervisorPresent { get; init; } = true;

    public ulong Features { get; init; } = WhvBits.FeaturesLocalApicEmulation | WhvBits.FeaturesDirtyPageTracking;

    public ulong ExtendedExits { get; init; } = WhvBits.ExitsX64Cpuid | WhvBits.ExitsX64Msr | WhvBits.ExitsException
        | WhvBits.ExitsX64ApicSmi | WhvBits.ExitsX64ApicInitSipi | WhvBits.ExitsX64ApicWriteLint0 | WhvBits.ExitsX64ApicWriteSvr;

    /// <summary>Deliverability notifications are answered beside the platform's local APIC too; Windows 11 has been seen not to.</summary>
    public bool WindowBesideApic { get; init; }

    public ulong ExceptionExits { get; init; } = 0xFFFFF;

    /// <summary>Null: a Windows that does not know this capability yet.</summary>
    public ulong? MsrExits { get; init; } = 0x3F;

    public ulong ProcessorFeatures { get; init; } = WhvBits.ProcessorSse3 | WhvBits.ProcessorLahfSahf | WhvBits.ProcessorPopCnt | WhvBits.ProcessorCmpxchg16b | WhvBits.ProcessorRdtscp | WhvBits.ProcessorUmip;

    /// <summary>In Hz; null: a Windows that does not know this capability yet.</summary>
    public ulong? ClockFrequency { get; init; } = 2_000_000_000;

    /// <summary>Instructions that this processor lacks: #UD.</summary>
    public IReadOnlySet<Code> Lacks { get; init; } = new HashSet<Code>();

    /// <summary>Runs that end as Canceled although nobody cancelled: each so many; 0: none.</summary>
    public int SpuriousCancel { get; init; } = 61;

    /// <summary>The processors made so far, newest last.</summary>
    public List<StandInProcessor> Processors { get; } = [];

    public CpuModel Model { get; } = CpuModel.X64 with
    {
        Features = CpuModel.X64.Features | CpuFeatures.Rdtscp,
        Features2 = CpuModel.X64.Features2 | CpuFeatures2.Sse3 | CpuFeatures2.Monitor,
    };

    public static void Complain(string what) => AllComplaints.Enqueue(what);
}
