using Farm.Assist.Monitor;
using Farm.Assist.Reports;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

/// <summary>The Windows Hypervisor Platform on x64. Nothing is loaded before it is asked for.</summary>
public sealed class WhpHypervisor : IHypervisor
{
    private readonly Lazy<(WhpApi? Api, WhpCapabilities? Found, string? Why)> _probe;

    public WhpHypervisor()
        : this(WhpApi.Load)
    {
    }

    /// <param name="load">Gives the functions or throws <see cref="HostException"/>.</param>
    internal WhpHypervisor(Func<WhpApi> load) => _probe = new(() => Probe(load));

    public string Name => "whp";

    public string? Unavailable => _probe.Value.Why;

    public bool Accelerated => true;

    /// <summary>Where WHP is unavailable: what it has at the least.</summary>
    public HypervisorCapabilities Capabilities => new()
    {
        RealMode = true,
        InterceptsCr0 = false,
        VirtualTime = false,
        EmulatesLikeAssist = true,
        LongMode = true,
        MaxVcpus = OwnLocalApics ? MonitorLayout.MaxProcessors : 1,
        Umip = _probe.Value.Found?.Umip ?? false,
        OwnLocalApics = OwnLocalApics,
        OwnLocalApicForOne = OwnLocalApics,
    };

    private bool OwnLocalApics => _probe.Value is ({ HasLocalApics: true }, { LocalApics: true }, _);

    public string FailureReason => OpcodeReasons.Whp;

    public IPartition CreatePartition(PartitionOptions options)
    {
        var (api, found, why) = _probe.Value;
        if (api is null || found is null)
            throw new HostException(why!);
        if (options.Vcpus > Capabilities.MaxVcpus)
            throw new HostException($"The whp backend runs at most {Capabilities.MaxVcpus} vCPUs here; {options.Vcpus} were asked for.");
        if (options.Vcpus > 1 && !options.LocalApics)
            throw new HostException($"The whp backend runs {options.Vcpus} vCPUs with the platform's local APICs only, under --assist native; use that, one vCPU, or --backend soft.");
        if (options.LocalApics && !OwnLocalApics)
            throw new HostException("This Windows' hypervisor platform does not emulate local APICs as the machine needs them.");
        return new WhpPartition(api, found, options);
    }

    private static (WhpApi? Api, WhpCapabilities? Found, string? Why) Probe(Func<WhpApi> load)
    {
        try
        {
            var api = load();
            return (api, WhpCapabilities.Ask(api), null);
        }
        catch (HostException error)
        {
            return (null, null, error.Message);
        }
    }
}
