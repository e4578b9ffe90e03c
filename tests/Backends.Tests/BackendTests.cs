using Farm.Assist.Monitor;
using Farm.Backends.Tests.WhpStandIn;
using Farm.Machine.Hypervisors;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

/// <summary>What every backend must do: one body per behaviour, run by each backend's class.</summary>
public abstract partial class BackendTests
{
    private const VcpuExitReason Halted = VcpuExitReason.Halted;

    protected abstract IHypervisor Hypervisor { get; }

    /// <summary>Under native with the backend's own local APICs.</summary>
    protected virtual bool LocalApics => false;

    /// <summary>Skips the test where the backend does not work.</summary>
    internal static void Need(IHypervisor hypervisor)
    {
        // In the nested machine KVM must be there.
        if (hypervisor.Name == "kvm" && Environment.GetEnvironmentVariable("FARM_NEED_KVM") == "1")
            return;
        Assert.SkipWhen(hypervisor.Unavailable is not null, $"{hypervisor.Name}: {hypervisor.Unavailable}");
        Assert.SkipWhen(
            hypervisor.Name == "kvm" && !hypervisor.Accelerated,
            "kvm: /dev/kvm is there, but the processor shows neither vmx nor svm: a paravirtual KVM, which emulates what is below long mode. FARM_NEED_KVM=1 tests it all the same.");
    }

    protected Bed NewBed(AssistStrength strength = AssistStrength.Native)
    {
        Need(Hypervisor);
        return new Bed(Hypervisor, strength, LocalApics && strength == AssistStrength.Native);
    }
}

public sealed class SoftBackendTests : BackendTests
{
    protected override IHypervisor Hypervisor { get; } = Machine.Hypervisors.Backends.All.Single(backend => backend.Name == "soft");
}

public sealed class KvmBackendTests : BackendTests
{
    protected override IHypervisor Hypervisor { get; } = Machine.Hypervisors.Backends.All.Single(backend => backend.Name == "kvm");

    [Fact]
    public void The_machines_local_apic_follows_the_base_address_that_the_guest_sets()
    {
        using var bed = NewBed();
        bed.Program(static code =>
        {
            code.mov(ecx, 0x1B);
            code.mov(edx, 0);
            code.mov(eax, 0xFED0_0900u);
            code.wrmsr();
        });
        Assert.Equal(VcpuExitReason.Halted, bed.Run());
        Assert.Equal(0xFED0_0900ul, bed.ApicBase);
    }

    /// <summary>The assist takes the guest over and hands it back within the same run of the machine's, which that kick has to end.</summary>
    [Fact]
    public void A_kick_that_comes_as_the_guest_leaves_protected_mode_is_not_lost()
    {
        using var bed = NewBed(AssistStrength.Vm86);
        bed.Assemble(Bed.CodeAt, Bed.CodeAt, 32, static code => code.db(0xEB, 0xFE), halt: false);
        bed.EnterReal(0x1000, 0);
        bed.Vcpu.Kick();
        Assert.Equal(VcpuExitReason.RealModeEntered, bed.Vcpu.Run(1000).Reason);
        bed.EnterFlat(Bed.CodeAt);
        bool late = false;
        using var guard = new Timer(_ =>
        {
            late = true;
            bed.Vcpu.Kick();
        }, null, TimeSpan.FromMinutes(1), Timeout.InfiniteTimeSpan);
        Assert.Equal(VcpuExitReason.Kicked, bed.Vcpu.Run(1000).Reason);
        Assert.False(late, "the kick was lost");
    }
}

/// <summary>The real platform: these run on Windows only.</summary>
public sealed class WhpBackendTests : BackendTests
{
    protected override IHypervisor Hypervisor { get; } = Machine.Hypervisors.Backends.All.Single(backend => backend.Name == "whp");
}

/// <summary>The real platform with its own local APIC under native.</summary>
public sealed class WhpLocalApicBackendTests : BackendTests
{
    protected override IHypervisor Hypervisor { get; } = Machine.Hypervisors.Backends.All.Single(backend => backend.Name == "whp");

    protected override bool LocalApics => Hypervisor.Capabilities.OwnLocalApics;
}

/// <summary>The WHP backend over the stand-in for WinHvPlatform.dll.</summary>
public sealed class WhpStandInBackendTests : BackendTests, IDisposable
{
    protected override IHypervisor Hypervisor { get; } = StandInLibrary.NewHypervisor();

    public void Dispose() => Assert.Empty(StandInHost.Complaints);
}

/// <summary>The same with the platform's local APIC.</summary>
public sealed class WhpStandInLocalApicBackendTests : BackendTests, IDisposable
{
    protected override IHypervisor Hypervisor { get; } = StandInLibrary.NewHypervisor();

    protected override bool LocalApics => true;

    public void Dispose() => Assert.Empty(StandInHost.Complaints);
}
