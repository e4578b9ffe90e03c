using Farm.Machine.Hypervisors;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

/// <summary>The kernel's local APICs on real KVM.</summary>
public sealed unsafe class KvmLocalApicTests : LocalApicTests
{
    [Fact]
    public void INIT_restarts_the_bootstrap_processor_where_the_BIOS_is()
    {
        using var bed = NewBed();
        bool told = false;
        bed.LocalApics!.InitRequested = () => told = true;
        byte[] code = [0x8C, 0xC8, 0xE7, 0x86, 0xFA, 0xF4]; // mov ax, cs; out 86h, ax; cli; hlt
        code.CopyTo(bed.Rom[0xFF0..]);
        EnterFlat(bed, c =>
        {
            Enable(c);
            c.mov(__dword_ptr[Apic + 0x310], 0);
            c.mov(__dword_ptr[Apic + 0x300], 0x4500);
        }, static c => c.iretd());
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(((ushort)0x86, 0xF000u, 2), bed.PortWrites.Single());
        Assert.Equal((0xFFFFFFF6ul, false), (bed.Vcpu.Position.Linear, told));
    }

    [Fact]
    public void Time_stamp_counters_agree()
    {
        using var bed = NewBed(2);
        bed.Assemble(StartAt, 0, 16, c =>
        {
            var again = c.CreateLabel();
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(__dword_ptr[RunningAt], 1);
            // In turns: 600h counts how often the first has read its counter into 650h, 604h how often this one has into 658h.
            c.Label(ref again);
            c.mov(ebx, __dword_ptr[0x604]);
            c.inc(ebx);
            var wait = c.CreateLabel();
            c.Label(ref wait);
            c.pause();
            c.cmp(__dword_ptr[0x600], ebx);
            c.jb(wait);
            c.rdtsc();
            c.mov(__dword_ptr[0x658], eax);
            c.mov(__dword_ptr[0x65C], edx);
            c.mov(__dword_ptr[0x604], ebx);
            c.jmp(again);
        }, halt: false);
        EnterFlat(bed, c =>
        {
            Enable(c);
            StartOther(c);
            Wait(c, 1, RunningAt);
            for (uint i = 1; i <= 10; i++)
            {
                c.rdtsc();
                c.mov(__dword_ptr[0x650], eax);
                c.mov(__dword_ptr[0x654], edx);
                c.mov(__dword_ptr[0x600], i);
                Wait(c, i, 0x604);
                c.rdtsc();
                c.mov(__dword_ptr[0x660], eax);
                c.mov(__dword_ptr[0x664], edx);
                c.@out(0x80, al);
            }
        }, static c => c.iretd());
        var readings = new List<(ulong Before, ulong Other, ulong After)>();
        bed.OnWrite = (_, _) => readings.Add((*(ulong*)(bed.Ram + 0x650), *(ulong*)(bed.Ram + 0x658), *(ulong*)(bed.Ram + 0x660)));
        Assert.Equal(Halted, bed.Run());
        Assert.Equal(10, readings.Count);
        Assert.All(readings, static reading => Assert.True(reading.Before < reading.Other && reading.Other < reading.After, $"{reading}"));
    }

    [Fact]
    public void No_idle_time_is_skipped_with_them()
    {
        using var bed = NewBed();
        Assert.Null(bed.Vcpu.TimeStampRate);
    }

    protected override Bed NewBed(int processors = 1)
    {
        var hypervisor = Machine.Hypervisors.Backends.All.Single(backend => backend.Name == "kvm");
        BackendTests.Need(hypervisor);
        return new Bed(hypervisor, localApics: true, processors: processors);
    }
}

/// <summary>All that backends do, with the kernel's local APIC under native.</summary>
public sealed class KvmLocalApicBackendTests : BackendTests
{
    protected override IHypervisor Hypervisor { get; } = Machine.Hypervisors.Backends.All.Single(backend => backend.Name == "kvm");

    protected override bool LocalApics => true;
}
