using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using Farm.Machine;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Kvm;
using Farm.Machine.Hypervisors.Kvm.Native;
using Tmds.Linux;

namespace Farm.Backends.Tests.KvmFake;

/// <summary>What a user reads where KVM does not work, on any machine.</summary>
public sealed unsafe class KvmErrorTests
{
    public KvmErrorTests() => Assert.SkipUnless(OperatingSystem.IsLinux() && Environment.Is64BitProcess, "KVM's kernel interface is that of Linux on x86-64.");

    [Theory]
    [InlineData(13, true, false, "kvm", "No permission to open /dev/kvm: it belongs to the group kvm. Join it (sudo usermod -aG kvm $USER, then log in again; in a container: --group-add kvm), or use --backend soft.")]
    [InlineData(1, true, true, "104", "it belongs to the group 104. Join it (sudo usermod -aG 104 $USER")]
    [InlineData(13, true, false, "root", "belongs to root alone")]
    [InlineData(2, true, false, null, "There is no /dev/kvm though the processor can virtualize: load the module kvm_intel or kvm_amd")]
    [InlineData(2, false, true, null, "this is a virtual machine whose processor shows neither vmx nor svm. Turn nested virtualization on at its host (kvm_intel or kvm_amd with nested=1")]
    [InlineData(2, false, false, null, "the processor shows neither vmx nor svm: turn virtualization (VT-x, SVM) on in the firmware")]
    [InlineData(19, true, false, "kvm", "There is no /dev/kvm though")]
    [InlineData(16, true, false, "kvm", "another hypervisor (VirtualBox, VMware)")]
    [InlineData(24, true, false, "kvm", "/dev/kvm cannot be opened: errno 24 (")]
    public void A_device_that_does_not_open(int errno, bool flag, bool virtualMachine, string? group, string words)
    {
        using var kernel = new FakeKernel { OpenError = errno, HasFlag = flag, InVirtualMachine = virtualMachine, DeviceGroup = group };
        var kvm = new KvmHypervisor(kernel);
        Assert.Contains(words, kvm.Unavailable, StringComparison.Ordinal);
        Assert.Equal(1, kvm.Capabilities.MaxVcpus);
        Assert.Equal(kvm.Unavailable, Assert.Throws<HostException>(() => kvm.CreatePartition(Options)).Message);
    }

    [Fact]
    public void A_kernel_of_another_version()
    {
        using var kernel = new FakeKernel { Version = 11 };
        Assert.Equal("/dev/kvm speaks version 11 of the KVM API, 12 is needed.", new KvmHypervisor(kernel).Unavailable);
    }

    [Theory]
    [InlineData((int)KvmCap.UserMemory, 0, "KVM_CAP_USER_MEMORY;")]
    [InlineData((int)KvmCap.ExtCpuid, 0, "KVM_CAP_EXT_CPUID;")]
    [InlineData((int)KvmCap.VcpuEvents, 0, "KVM_CAP_VCPU_EVENTS;")]
    [InlineData((int)KvmCap.DebugRegs, 0, "KVM_CAP_DEBUGREGS;")]
    [InlineData((int)KvmCap.ReadonlyMem, 0, "KVM_CAP_READONLY_MEM;")]
    [InlineData((int)KvmCap.ImmediateExit, 0, "KVM_CAP_IMMEDIATE_EXIT;")]
    [InlineData((int)KvmCap.SyncRegs, 3, "KVM_CAP_SYNC_REGS for registers, system registers and events;")]
    public void A_kernel_that_lacks_a_capability(int cap, int has, string name)
    {
        using var kernel = new FakeKernel();
        kernel.Caps[(KvmCap)cap] = has;
        Assert.Equal($"This kernel's KVM lacks {name} Linux 4.17 or later is needed (or --backend soft).", new KvmHypervisor(kernel).Unavailable);
        Assert.Equal(0, kernel.OpenFiles);
    }

    [Theory]
    [InlineData(16, "another hypervisor (VirtualBox, VMware)")]
    [InlineData(12, "no memory for another VM: run fewer at a time (--slots)")]
    [InlineData(24, "too many are open (ulimit -n)")]
    [InlineData(5, "KVM_CREATE_VM failed: errno 5 (")]
    public void A_machine_that_is_not_to_be_had(int errno, string words)
    {
        using var kernel = new FakeKernel();
        kernel.Failures[KvmIoctl.CreateVm] = errno;
        var error = Assert.Throws<HostException>(() => new KvmHypervisor(kernel).CreatePartition(Options));
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
        Assert.Equal(0, kernel.OpenFiles);
    }

    [Theory]
    [InlineData(KvmIoctl.RegisterCoalescedMmio, "KVM: KVM_REGISTER_COALESCED_MMIO failed: errno 12 (")]
    [InlineData(KvmIoctl.SetTssAddress, "KVM: KVM_SET_TSS_ADDR failed: errno 12 (")]
    [InlineData(KvmIoctl.EnableCap, "KVM: KVM_ENABLE_CAP of KVM_CAP_EXIT_ON_EMULATION_FAILURE failed")]
    [InlineData(KvmIoctl.EnableCap, "KVM: KVM_ENABLE_CAP of KVM_CAP_PMU_CAPABILITY failed", 1)]
    [InlineData(KvmIoctl.EnableCap, "KVM: KVM_ENABLE_CAP of KVM_CAP_SPLIT_IRQCHIP failed", 2)]
    public void A_call_that_fails_is_named_and_leaves_nothing_open(uint call, string words, int without = 0)
    {
        using var kernel = new FakeKernel();
        foreach (var cap in new[] { KvmCap.ExitOnEmulationFailure, KvmCap.PmuCapability }.Take(without))
            kernel.Caps.Remove(cap);
        kernel.Failures[call] = LibC.ENOMEM;
        var error = Assert.Throws<HostException>(() => new KvmHypervisor(kernel).CreatePartition(Options with { LocalApics = true }));
        Assert.Contains(words, error.Message, StringComparison.Ordinal);
        Assert.Equal(0, kernel.OpenFiles);
    }

    [Fact]
    public void A_guest_whose_memory_map_has_more_pieces_than_the_kernel_has_slots()
    {
        using var kernel = new FakeKernel();
        kernel.Caps[KvmCap.NrMemslots] = 3;
        using var bed = new Bed(new KvmHypervisor(kernel));
        var error = Assert.Throws<HostException>(() => bed.Run());
        Assert.Contains("KVM has no memory slot left for ", error.Message, StringComparison.Ordinal);
        Assert.Contains("more than 3 pieces, the most that this kernel takes (KVM_CAP_NR_MEMSLOTS); run it with --backend soft.", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_log_of_stores_that_fails_is_named()
    {
        using var kernel = new FakeKernel();
        using var bed = new Bed(new KvmHypervisor(kernel));
        Assert.Equal(VcpuExitReason.Shutdown, bed.Run());
        Assert.Equal(ulong.MaxValue, bed.TakeStores());
        kernel.Stored.UnionWith([Bed.LoggedAt + 0x5000, Bed.HoleAt]);
        Assert.Equal(1ul << 5, bed.TakeStores());
        kernel.Failures[KvmIoctl.GetDirtyLog] = LibC.ENOENT;
        var error = Assert.Throws<HostException>(() => bed.TakeStores());
        Assert.StartsWith("KVM: KVM_GET_DIRTY_LOG of 800000h+40000h failed: errno 2 (", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(KvmIoctl.CreateVcpu, "KVM: KVM_CREATE_VCPU failed: errno 12 (")]
    [InlineData(KvmIoctl.SetCpuid2, "KVM: KVM_SET_CPUID2 failed: errno 12 (")]
    public void A_processor_that_is_not_to_be_had(uint call, string words)
    {
        using var kernel = new FakeKernel();
        kernel.Failures[call] = LibC.ENOMEM;
        Assert.Contains(words, Assert.Throws<HostException>(() => new Bed(new KvmHypervisor(kernel)).Dispose()).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData((int)KvmCap.SplitIrqchip, "KVM_CAP_SPLIT_IRQCHIP,")]
    [InlineData((int)KvmCap.SignalMsi, "KVM_CAP_SIGNAL_MSI,")]
    [InlineData((int)KvmCap.IrqRouting, "KVM_CAP_IRQ_ROUTING,")]
    [InlineData((int)KvmCap.MpState, "KVM_CAP_MP_STATE,")]
    public void Several_processors_on_a_kernel_that_lacks_what_they_need(int cap, string name)
    {
        using var kernel = new FakeKernel();
        kernel.Caps[(KvmCap)cap] = 0;
        var kvm = new KvmHypervisor(kernel);
        Assert.Null(kvm.Unavailable);
        Assert.Equal((1, false), (kvm.Capabilities.MaxVcpus, kvm.Capabilities.OwnLocalApics));
        string message = $"This kernel's KVM lacks {name} without which the kvm backend runs one vCPU; 2 were asked for. Use --backend soft for several.";
        Assert.Equal(message, Assert.Throws<HostException>(() => kvm.CreatePartition(Options with { Vcpus = 2 })).Message);
        Assert.Contains(name[..^1], Assert.Throws<HostException>(() => kvm.CreatePartition(Options with { LocalApics = true })).Message, StringComparison.Ordinal);
        using var one = kvm.CreatePartition(Options);
        Assert.Null(one.LocalApics);
    }

    [Theory]
    [InlineData(4, 5, "The kvm backend runs at most 4 vCPUs here; 5 were asked for.")]
    [InlineData(4096, 32, "The kvm backend runs at most 31 vCPUs here; 32 were asked for.")]
    [InlineData(4096, 2, "The kvm backend runs 2 vCPUs with the kernel's local APICs only, under --assist native; use that, one vCPU, or --backend soft.")]
    public void More_processors_than_there_can_be(int most, int asked, string message)
    {
        using var kernel = new FakeKernel();
        kernel.Caps[KvmCap.MaxVcpus] = most;
        var error = Assert.Throws<HostException>(() => new KvmHypervisor(kernel).CreatePartition(Options with { Vcpus = asked }));
        Assert.Equal(message, error.Message);
        Assert.Equal(0, kernel.OpenFiles);
    }

    [Theory]
    [InlineData(AssistStrength.Vm86)]
    [InlineData(AssistStrength.Full)]
    public void Several_processors_beside_the_assist_are_refused_before_anything_runs(AssistStrength strength)
    {
        using var kernel = new FakeKernel();
        var error = Assert.Throws<HostException>(() => MachineBuilder.Build(new MachineOptions { Vcpus = 2, Assist = strength }, new KvmHypervisor(kernel)));
        Assert.Contains("under --assist native", error.Message, StringComparison.Ordinal);
        Assert.Equal((0, 0), (kernel.Entries, kernel.OpenFiles));
    }

    private static PartitionOptions Options => new(1, true, CpuModel.P3);
}
