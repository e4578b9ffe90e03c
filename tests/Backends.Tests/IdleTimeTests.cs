using System.Diagnostics;
using Farm.Assist.Monitor;
using Farm.Backends.Tests.WhpStandIn;
using Farm.Firmware;
using Farm.Machine;
using Farm.Machine.Hypervisors;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Backends.Tests;

/// <summary>
/// A whole machine whose boot sector reads the guest's clocks around ticks of the interval timer: some that it waits for in a loop, then
/// many that it waits for in HLT, or asking for a key.
/// </summary>
public abstract class IdleTimeTests
{
    private const byte Mark = 0xA5;
    private const int BusyTicks = 9, IdleTicks = 55;
    private const double TickNs = 65536 * (88_000 / 105.0);

    public enum Wait
    {
        /// <summary>HLT.</summary>
        Halt,

        /// <summary>The BIOS is asked for a key, over and over.</summary>
        Key,
    }

    /// <summary>What the guest sends at each mark, and when.</summary>
    protected sealed record Reading(ulong TimeStamp, uint PmTimer, uint Ticks, (long Guest, long Idle, TimeSpan Host) At);

    protected static void Every_clock_goes_on_and_the_host_does_not_wait(string backend, AssistStrength strength, Wait wait)
    {
        var hypervisor = Machine.Hypervisors.Backends.All.Single(candidate => candidate.Name == backend);
        BackendTests.Need(hypervisor);
        Assert.SkipUnless(backend == "soft" || hypervisor.Accelerated, "On a paravirtual KVM idle time passes.");
        var (busy, idle, end) = Measure(hypervisor, strength, wait, out string mode);
        Assert.Equal(backend == "soft" ? "virtual" : "host-skip", mode);
        Advanced(idle, end, onHostTime: backend != "soft");
        // Under full the counter counts instructions while the interpreter has the guest.
        if (strength == AssistStrength.Full && backend != "soft")
            return;
        Assert.InRange(TimeStampRate(idle, end) / TimeStampRate(busy, idle), 0.95, 1.05);
    }

    /// <summary>Against the PM timer, which is read together with it: however late the host is, both are.</summary>
    private static double TimeStampRate(Reading from, Reading to) => (to.TimeStamp - from.TimeStamp) / PmNanoseconds(from, to);

    private static double PmNanoseconds(Reading from, Reading to) => ((to.PmTimer - from.PmTimer) & 0xFFFFFF) * (88_000 / 315.0);

    /// <summary>A host that is late makes the guest's wait longer (it loses ticks), and some of it real.</summary>
    protected static void Advanced(Reading idle, Reading end, bool onHostTime)
    {
        const double atLeast = (IdleTicks - 1) * TickNs;
        long guest = end.At.Guest - idle.At.Guest;
        Assert.True(end.Ticks - idle.Ticks >= IdleTicks);
        Assert.True(guest >= atLeast, $"{guest} ns");
        Assert.True(PmNanoseconds(idle, end) >= atLeast, $"{PmNanoseconds(idle, end)} ns of the PM timer");
        Assert.True(end.At.Idle - idle.At.Idle >= atLeast / 2, $"{end.At.Idle - idle.At.Idle} ns idle");
        double waited = (end.At.Host - idle.At.Host).TotalNanoseconds;
        Assert.True(!onHostTime || guest - waited >= atLeast / 2, $"the host waited {waited} ns of {guest}");
    }

    protected static (Reading Busy, Reading Idle, Reading End) Measure(IHypervisor hypervisor, AssistStrength strength, Wait wait, out string mode)
    {
        string floppy = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(floppy, EmulationTests.Image(BootSector(wait)));
            using var machine = MachineBuilder.Build(new MachineOptions { Assist = strength, MemoryMiB = 16, Floppies = [floppy], Order = "a" }, hypervisor);
            mode = machine.Time.Mode;
            var host = Stopwatch.StartNew();
            var marks = new List<(long Guest, long Idle, TimeSpan Host)>();
            var sent = new List<byte>();
            machine.DebugSink = value =>
            {
                if (sent.Count == 17 * marks.Count && value == Mark)
                    marks.Add((machine.Time.Now, machine.IdleTime, host.Elapsed));
                if (marks.Count > 0)
                    sent.Add(value);
            };
            machine.Run(300_000_000_000, TestContext.Current.CancellationToken);
            Assert.True(sent.Count == 3 * 17, $"The boot sector sent {sent.Count} bytes; {machine.End}");
            Reading[] readings = [.. marks.Select((mark, i) => Read([.. sent.Skip((17 * i) + 1).Take(16)], mark))];
            return (readings[0], readings[1], readings[2]);
        }
        catch (FirmwareException e)
        {
            Assert.Skip(e.Message);
            throw;
        }
        finally
        {
            File.Delete(floppy);
        }
    }

    private static Reading Read(byte[] sent, (long Guest, long Idle, TimeSpan Host) at) =>
        new(BitConverter.ToUInt64(sent), BitConverter.ToUInt32(sent, 8), BitConverter.ToUInt32(sent, 12), at);

    private static Assembler BootSector(Wait wait)
    {
        const int ticks = 0x46C;
        var c = new Assembler(16);
        Label send = c.CreateLabel(), sendDword = c.CreateLabel(), next = c.CreateLabel(), edge = c.CreateLabel(), busy = c.CreateLabel(), idle = c.CreateLabel();
        c.xor(ax, ax);
        c.mov(ds, ax);
        // The PM timer, behind PMBA of the PIIX4 in slot 1.
        c.mov(dx, 0xCF8);
        c.mov(eax, 0x80000B40);
        c.@out(dx, eax);
        c.mov(dl, 0xFC);
        c.@in(eax, dx);
        c.and(ax, 0xFFC0);
        c.add(ax, 8);
        c.mov(bp, ax);
        c.sti();
        c.mov(ebx, __dword_ptr[ticks]);
        c.Label(ref edge);
        c.cmp(ebx, __dword_ptr[ticks]);
        c.je(edge);
        c.call(send);
        c.lea(ebx, __[esi + BusyTicks]);
        c.Label(ref busy);
        c.cmp(ebx, __dword_ptr[ticks]);
        c.jg(busy); // two ticks may come at once
        c.call(send);
        c.lea(ebx, __[esi + IdleTicks]);
        c.Label(ref idle);
        if (wait == Wait.Halt)
        {
            c.hlt();
        }
        else
        {
            c.mov(ah, 1);
            c.@int(0x16);
        }
        c.cmp(ebx, __dword_ptr[ticks]);
        c.jg(idle);
        c.call(send);
        c.cli();
        c.hlt();

        // The mark, the time-stamp counter, the PM timer, and the tick, which stays in ESI.
        c.Label(ref send);
        c.mov(esi, __dword_ptr[ticks]);
        c.mov(dx, bp);
        c.@in(eax, dx);
        c.mov(edi, eax);
        c.rdtsc();
        c.mov(ecx, eax);
        c.mov(al, Mark);
        c.@out(0xE9, al);
        c.mov(eax, ecx);
        c.call(sendDword);
        c.mov(eax, edx);
        c.call(sendDword);
        c.mov(eax, edi);
        c.call(sendDword);
        c.mov(eax, esi);
        c.Label(ref sendDword);
        c.mov(cl, 4);
        c.Label(ref next);
        c.@out(0xE9, al);
        c.shr(eax, 8);
        c.dec(cl);
        c.jne(next);
        c.ret();
        return c;
    }
}

public sealed class SoftIdleTimeTests : IdleTimeTests
{
    [Theory]
    [InlineData(AssistStrength.Vm86, Wait.Halt)]
    [InlineData(AssistStrength.Native, Wait.Halt)]
    [InlineData(AssistStrength.Vm86, Wait.Key)]
    public void Every_clock_of_the_guest_goes_on_while_it_waits(AssistStrength strength, Wait wait) =>
        Every_clock_goes_on_and_the_host_does_not_wait("soft", strength, wait);
}

public sealed class KvmIdleTimeTests : IdleTimeTests
{
    /// <summary>What the host gives to others is not the guest's work.</summary>
    [Fact]
    public async Task A_busy_host_does_not_keep_a_guest_that_asks_for_a_key_from_being_idle()
    {
        using var end = new CancellationTokenSource();
        Task[] others = [.. Enumerable.Range(0, 2 * Environment.ProcessorCount).Select(_ => Task.Factory.StartNew(Spin, TaskCreationOptions.LongRunning))];
        try
        {
            Every_clock_goes_on_and_the_host_does_not_wait("kvm", AssistStrength.Vm86, Wait.Key);
        }
        finally
        {
            await end.CancelAsync();
            await Task.WhenAll(others);
        }

        void Spin()
        {
            while (!end.IsCancellationRequested)
                Thread.SpinWait(1000);
        }
    }

    [Theory]
    [InlineData(AssistStrength.Vm86, Wait.Halt)]
    [InlineData(AssistStrength.Native, Wait.Halt)]
    [InlineData(AssistStrength.Vm86, Wait.Key)]
    [InlineData(AssistStrength.Full, Wait.Key)]
    public void Every_clock_of_the_guest_goes_on_while_it_waits_and_the_host_does_not(AssistStrength strength, Wait wait) =>
        Every_clock_goes_on_and_the_host_does_not_wait("kvm", strength, wait);
}

public sealed class WhpStandInIdleTimeTests : IdleTimeTests
{
    /// <summary>The stand-in's time-stamp counter counts instructions: it can only be seen to move.</summary>
    [Fact]
    public void Idle_time_is_skipped_on_WHP_with_the_machines_own_local_APIC()
    {
        var (_, idle, end) = Measure(StandInLibrary.NewHypervisor(), AssistStrength.Vm86, Wait.Halt, out string mode);
        Assert.Equal("host-skip", mode);
        Advanced(idle, end, onHostTime: true);
        Assert.True(end.TimeStamp - idle.TimeStamp > (end.At.Guest - idle.At.Guest) * 0.5e-9 * StandInHost.Current.ClockFrequency!.Value);
        Assert.Empty(StandInHost.Complaints);
    }
}
