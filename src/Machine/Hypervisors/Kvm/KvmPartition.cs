using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Kvm.Native;
using Tmds.Linux;

namespace Farm.Machine.Hypervisors.Kvm;

/// <summary>One KVM VM: memory slots and processors. Its local APICs are the kernel's or the machine's, as the options say; no other interrupt controller is the kernel's.</summary>
internal sealed class KvmPartition : IPartition
{
    /// <summary>Where Intel hosts without unrestricted guest may put their TSS and page table; nothing of the PC lies there.</summary>
    private const long IdentityMap = 0xFEFFC000, Tss = 0xFEFFD000;

    private readonly KvmFile _system;
    private readonly KvmFile _vm;
    private readonly PartitionOptions _options;
    private readonly bool _accelerated;
    private int _queuePage;
    private readonly List<KvmVcpu> _vcpus = [];
    private readonly KvmLocalApics? _localApics;

    /// <param name="accelerated">See <see cref="IHypervisor.Accelerated"/>.</param>
    public KvmPartition(KvmFile system, PartitionOptions options, bool accelerated)
    {
        _system = system;
        _accelerated = accelerated;
        _options = options;
        unsafe
        {
            int descriptor = system.Repeat(KvmIoctl.CreateVm, null);
            if (descriptor < 0)
            {
                system.Dispose();
                throw new HostException(Explain(-descriptor));
            }
            _vm = system.Of(descriptor);
        }
        try
        {
            Slots = Prepare();
            // Before there are processors.
            if (options.LocalApics)
                _localApics = new KvmLocalApics(_vm, _vcpus);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public PhysicalMemory Memory { get; } = new();

    public KvmSlots Slots { get; }

    public ILocalApics? LocalApics => _localApics;

    public IVcpu BindVcpu(int index, ICpuDoor door)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(index, _vcpus.Count);
        var vcpu = new KvmVcpu(_system, _vm, index, Slots, Memory, door, _options, _accelerated, _queuePage, _localApics);
        if (index > 0)
            vcpu.TakeTimeStampOf(_vcpus[0]);
        _vcpus.Add(vcpu);
        return vcpu;
    }

    private unsafe KvmSlots Prepare()
    {
        ulong identity = IdentityMap;
        _vm.Call(KvmIoctl.SetIdentityMapAddress, &identity, "KVM_SET_IDENTITY_MAP_ADDR");
        _vm.Call(KvmIoctl.SetTssAddress, Tss, "KVM_SET_TSS_ADDR");
        // Without it the kernel tells less about an instruction that it cannot emulate.
        if (_system.Try(KvmIoctl.CheckExtension, (long)KvmCap.ExitOnEmulationFailure) > 0)
            _vm.Enable(KvmCap.ExitOnEmulationFailure, 1, "KVM_CAP_EXIT_ON_EMULATION_FAILURE");
        // No model says that it has counters of the host's kind, and on AMD the kernel would look through them at each exit.
        if (_system.Try(KvmIoctl.CheckExtension, (long)KvmCap.PmuCapability) is > 0 and var known && (known & KvmConstants.PmuDisable) != 0)
            _vm.Enable(KvmCap.PmuCapability, KvmConstants.PmuDisable, "KVM_CAP_PMU_CAPABILITY");
        _queuePage = KvmWriteQueue.Begin(_system, _vm);
        int most = _system.Try(KvmIoctl.CheckExtension, (long)KvmCap.NrMemslots);
        return new KvmSlots(_vm, Memory, most > 0 ? most : 32);
    }

    private static string Explain(int error) =>
        error == LibC.EBUSY ? "KVM has no VM to give: another hypervisor (VirtualBox, VMware) holds the processor's virtualization. End it, or use --backend soft."
        : error == LibC.ENOMEM ? "KVM has no memory for another VM: run fewer at a time (--slots), or give the host more."
        : error == LibC.EMFILE || error == LibC.ENFILE ? "KVM has no file for another VM: too many are open (ulimit -n)."
        : $"KVM: KVM_CREATE_VM failed: {KvmFile.Describe(error)}.";

    public void Dispose()
    {
        _vm.Dispose();
        _system.Dispose();
        Memory.Dispose();
    }
}
