using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Assist.Reports;

namespace Farm.Machine.Hypervisors.Soft;

/// <summary>Our own processor: the backend of every host without virtualization, and the oracle for the others.</summary>
public sealed class SoftHypervisor : IHypervisor
{
    public string Name => "soft";

    public string? Unavailable => null;

    public bool Accelerated => false;

    public HypervisorCapabilities Capabilities { get; } = new()
    {
        RealMode = true,
        InterceptsCr0 = true,
        VirtualTime = true,
        EmulatesLikeAssist = true,
        LongMode = true,
        MaxVcpus = MonitorLayout.MaxProcessors,
        Umip = true,
    };

    public string FailureReason => OpcodeReasons.Soft;

    public IPartition CreatePartition(PartitionOptions options)
    {
        if (options.Vcpus > Capabilities.MaxVcpus)
            throw new HostException($"The soft backend runs at most {Capabilities.MaxVcpus} vCPUs; {options.Vcpus} were asked for.");
        return new SoftPartition(options);
    }
}

/// <summary>Memory and processors of one soft machine.</summary>
internal sealed class SoftPartition(PartitionOptions options) : IPartition
{
    public PhysicalMemory Memory { get; } = new();

    public IVcpu BindVcpu(int index, ICpuDoor door)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, options.Vcpus);
        return new SoftVcpu(Memory, door, options, index);
    }

    public void Dispose() => Memory.Dispose();
}
