using System.Runtime.InteropServices;
using Farm.Assist.Monitor;
using Farm.Assist.Reports;
using Farm.Machine.Hypervisors.Kvm.Native;
using Tmds.Linux;

namespace Farm.Machine.Hypervisors.Kvm;

/// <summary>Linux KVM on x86-64. Nothing is opened before it is asked for.</summary>
public sealed class KvmHypervisor : IHypervisor
{
    private static readonly (KvmCap Cap, string Name)[] Needed =
    [
        (KvmCap.UserMemory, "KVM_CAP_USER_MEMORY"),
        (KvmCap.ExtCpuid, "KVM_CAP_EXT_CPUID"),
        (KvmCap.VcpuEvents, "KVM_CAP_VCPU_EVENTS"),
        (KvmCap.DebugRegs, "KVM_CAP_DEBUGREGS"),
        (KvmCap.ReadonlyMem, "KVM_CAP_READONLY_MEM"),
        (KvmCap.ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
    ];

    /// <summary>What several processors need.</summary>
    private static readonly (KvmCap Cap, string Name)[] NeededForSeveral =
    [
        (KvmCap.SplitIrqchip, "KVM_CAP_SPLIT_IRQCHIP"),
        (KvmCap.SignalMsi, "KVM_CAP_SIGNAL_MSI"),
        (KvmCap.IrqRouting, "KVM_CAP_IRQ_ROUTING"),
        (KvmCap.MpState, "KVM_CAP_MP_STATE"),
    ];

    private readonly KvmHost _host;
    private readonly Lazy<string?> _unavailable;
    private readonly Lazy<HypervisorCapabilities> _capabilities;

    /// <summary>What of <see cref="NeededForSeveral"/> the kernel lacks; known with the capabilities.</summary>
    private string? _missing;

    public KvmHypervisor()
        : this(new LinuxHost())
    {
    }

    /// <summary>On another kernel than this host's.</summary>
    internal KvmHypervisor(KvmHost host)
    {
        _host = host;
        _unavailable = new(Probe);
        _capabilities = new(Ask);
    }

    public string Name => "kvm";

    public string? Unavailable => _unavailable.Value;

    /// <summary>False on a paravirtual KVM (such as kvm-pvm), which emulates all code below long mode and is slower than soft.</summary>
    public bool Accelerated => _host.Virtualizes;

    /// <summary>Where KVM is unavailable: what it has at the least.</summary>
    public HypervisorCapabilities Capabilities => _capabilities.Value;

    public string FailureReason => OpcodeReasons.Kvm;

    public IPartition CreatePartition(PartitionOptions options)
    {
        if (Unavailable is { } why)
            throw new HostException(why);
        if (options.Vcpus > Capabilities.MaxVcpus)
        {
            throw new HostException(_missing is { } lack
                ? $"This kernel's KVM lacks {lack}, without which the kvm backend runs one vCPU; {options.Vcpus} were asked for. Use --backend soft for several."
                : $"The kvm backend runs at most {Capabilities.MaxVcpus} vCPUs here; {options.Vcpus} were asked for.");
        }
        if (options.Vcpus > 1 && !options.LocalApics)
            throw new HostException($"The kvm backend runs {options.Vcpus} vCPUs with the kernel's local APICs only, under --assist native; use that, one vCPU, or --backend soft.");
        if (options.LocalApics && !Capabilities.OwnLocalApics)
            throw new HostException($"This kernel's KVM lacks {_missing}: it has no local APICs of its own for this machine.");
        return new KvmPartition(Open(), options, Accelerated);
    }

    private KvmFile Open() => _host.TryOpen(out int error) ?? throw new HostException($"{KvmHost.Device} cannot be opened: {KvmFile.Describe(error)}.");

    private string? Probe()
    {
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64)
            return "KVM needs Linux on x86-64; use --backend soft.";
        using var system = _host.TryOpen(out int error);
        if (system is null)
            return Explain(error);
        int version = system.Try(KvmIoctl.GetApiVersion);
        if (version != KvmConstants.ApiVersion)
            return $"{KvmHost.Device} speaks version {version} of the KVM API, {KvmConstants.ApiVersion} is needed.";
        foreach (var (cap, name) in Needed)
        {
            if (system.Try(KvmIoctl.CheckExtension, (long)cap) <= 0)
                return $"This kernel's KVM lacks {name}; Linux 4.17 or later is needed (or --backend soft).";
        }
        return (system.Try(KvmIoctl.CheckExtension, (long)KvmCap.SyncRegs) & (int)KvmConstants.SyncAll) != (int)KvmConstants.SyncAll
            ? "This kernel's KVM lacks KVM_CAP_SYNC_REGS for registers, system registers and events; Linux 4.17 or later is needed (or --backend soft)."
            : null;
    }

    private string Explain(int error)
    {
        const string device = KvmHost.Device;
        if (error == LibC.EACCES || error == LibC.EPERM)
        {
            return _host.Group is { } group and not ("root" or "0")
                ? $"No permission to open {device}: it belongs to the group {group}. Join it (sudo usermod -aG {group} $USER, then log in again; in a container: --group-add {group}), or use --backend soft."
                : $"No permission to open {device}, which belongs to root alone: give it to the group kvm (package udev does: sudo udevadm trigger {device}) and join that, or use --backend soft.";
        }
        if (error == LibC.EBUSY)
            return $"{device} is busy: another hypervisor (VirtualBox, VMware) holds the processor's virtualization. End it, or use --backend soft.";
        if (error != LibC.ENOENT && error != LibC.ENODEV && error != LibC.ENXIO)
            return $"{device} cannot be opened: {KvmFile.Describe(error)}.";
        if (_host.Virtualizes)
            return $"There is no {device} though the processor can virtualize: load the module kvm_intel or kvm_amd (modprobe; if it says \"disabled by bios\", turn virtualization on in the firmware; in a container: --device {device}), or use --backend soft.";
        return _host.IsVirtual
            ? $"There is no {device}: this is a virtual machine whose processor shows neither vmx nor svm. Turn nested virtualization on at its host (kvm_intel or kvm_amd with nested=1, and the host's CPU for the VM: QEMU -cpu host), or use --backend soft."
            : $"There is no {device} and the processor shows neither vmx nor svm: turn virtualization (VT-x, SVM) on in the firmware, or use --backend soft.";
    }

    private HypervisorCapabilities Ask()
    {
        bool longMode = false, umip = false, localApics = false;
        int most = 1;
        if (Unavailable is null)
        {
            using var system = Open();
            var supported = KvmCpuid.Supported(system);
            longMode = supported.TryGetValue((0x80000001, 0), out var extended) && (extended.Edx & (1u << 29)) != 0;
            umip = KvmCpuid.HasUmip(supported);
            _missing = NeededForSeveral.FirstOrDefault(needed => system.Try(KvmIoctl.CheckExtension, (long)needed.Cap) <= 0).Name;
            localApics = _missing is null;
            if (localApics)
                most = Math.Clamp(system.Try(KvmIoctl.CheckExtension, (long)KvmCap.MaxVcpus), 1, MonitorLayout.MaxProcessors);
        }
        return new HypervisorCapabilities
        {
            RealMode = true,
            InterceptsCr0 = false,
            VirtualTime = false,
            LongMode = longMode,
            MaxVcpus = most,
            Umip = umip,
            OwnLocalApics = localApics,
        };
    }
}
