using System.Runtime.InteropServices;
using Farm.Assist.Reports;
using Farm.Machine.Hypervisors.Kvm.Native;
using Tmds.Linux;

namespace Farm.Machine.Hypervisors.Kvm;

/// <summary>Linux KVM on x86-64. Nothing is opened before it is asked for.</summary>
public sealed class KvmHypervisor : IHypervisor
{
    private const string Device = "/dev/kvm";

    private static readonly (KvmCap Cap, string Name)[] Needed =
    [
        (KvmCap.UserMemory, "KVM_CAP_USER_MEMORY"),
        (KvmCap.ExtCpuid, "KVM_CAP_EXT_CPUID"),
        (KvmCap.VcpuEvents, "KVM_CAP_VCPU_EVENTS"),
        (KvmCap.DebugRegs, "KVM_CAP_DEBUGREGS"),
        (KvmCap.ReadonlyMem, "KVM_CAP_READONLY_MEM"),
        (KvmCap.ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
    ];

    private readonly Lazy<string?> _unavailable = new(Probe);
    private readonly Lazy<HypervisorCapabilities> _capabilities = new(Ask);

    public string Name => "kvm";

    public string? Unavailable => _unavailable.Value;

    /// <summary>False on a paravirtual KVM (such as kvm-pvm), which emulates all code below long mode and is slower than soft.</summary>
    public bool Accelerated => HasVirtualization();

    /// <summary>Where KVM is unavailable: what it has at the least.</summary>
    public HypervisorCapabilities Capabilities => _capabilities.Value;

    public string FailureReason => OpcodeReasons.Kvm;

    public IPartition CreatePartition(PartitionOptions options)
    {
        if (Unavailable is { } why)
            throw new HostException(why);
        if (options.Vcpus > Capabilities.MaxVcpus)
            throw new HostException($"The kvm backend runs {Capabilities.MaxVcpus} vCPU; {options.Vcpus} were asked for.");
        return new KvmPartition(Open(), options);
    }

    private static KvmFile Open() => KvmFile.TryOpen(Device, out int error) ?? throw new HostException($"{Device} cannot be opened: {KvmFile.Describe(error)}.");

    private static string? Probe()
    {
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64)
            return "KVM needs Linux on x86-64; use --backend soft.";
        using var system = KvmFile.TryOpen(Device, out int error);
        if (system is null)
            return Explain(error);
        int version = system.Try(KvmIoctl.GetApiVersion);
        if (version != KvmConstants.ApiVersion)
            return $"{Device} speaks version {version} of the KVM API, {KvmConstants.ApiVersion} is needed.";
        foreach (var (cap, name) in Needed)
        {
            if (system.Try(KvmIoctl.CheckExtension, (long)cap) <= 0)
                return $"This kernel's KVM lacks {name}; Linux 4.17 or later is needed (or --backend soft).";
        }
        return (system.Try(KvmIoctl.CheckExtension, (long)KvmCap.SyncRegs) & (int)KvmConstants.SyncAll) != (int)KvmConstants.SyncAll
            ? "This kernel's KVM lacks KVM_CAP_SYNC_REGS for registers, system registers and events; Linux 4.17 or later is needed (or --backend soft)."
            : null;
    }

    private static string Explain(int error)
    {
        if (error == LibC.EACCES || error == LibC.EPERM)
            return $"No permission to open {Device}: add the user to its group (usermod -aG kvm USER, then log in again) or use --backend soft.";
        if (error != LibC.ENOENT && error != LibC.ENODEV && error != LibC.ENXIO)
            return $"{Device} cannot be opened: {KvmFile.Describe(error)}.";
        return HasVirtualization()
            ? $"There is no {Device} though the processor can virtualize: load the module kvm_intel or kvm_amd (in a container: pass the device in), or use --backend soft."
            : $"There is no {Device} and the processor shows neither vmx nor svm: turn virtualization on in the firmware (in a VM: nested virtualization on its host), or use --backend soft.";
    }

    private static bool HasVirtualization()
    {
        try
        {
            string? flags = File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("flags", StringComparison.Ordinal));
            return flags?.Split(' ').Any(flag => flag is "vmx" or "svm") ?? false;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static HypervisorCapabilities Ask()
    {
        bool longMode = false, umip = false;
        if (Probe() is null)
        {
            using var system = Open();
            var supported = KvmCpuid.Supported(system);
            longMode = supported.TryGetValue((0x80000001, 0), out var extended) && (extended.Edx & (1u << 29)) != 0;
            umip = KvmCpuid.HasUmip(supported);
        }
        return new HypervisorCapabilities
        {
            RealMode = true,
            InterceptsCr0 = false,
            VirtualTime = false,
            LongMode = longMode,
            MaxVcpus = 1,
            Umip = umip,
        };
    }
}
