using System.Diagnostics;
using Farm.Machine.Hypervisors.Whp.Native;
using Farm.Machine.Time;

namespace Farm.Machine.Hypervisors.Whp;

// The time-stamp counter goes on with the host's; the platform has no offset of it that could be moved, only the register.
internal sealed unsafe partial class WhpVcpu
{
    /// <summary>In Hz; 0: this Windows does not tell.</summary>
    public ulong TimeStampFrequency { get; init; }

    /// <summary>Null too with the platform's local APIC: its timer would stay behind.</summary>
    public ClockRate? TimeStampRate => _apic is null && TimeStampFrequency != 0 ? new ClockRate((long)TimeStampFrequency, 1_000_000_000) : null;

    public void AdvanceTimeStamp(ulong ticks)
    {
        long start = Stopwatch.GetTimestamp();
        ulong counter = _registers.Get(WhvRegister.Tsc).Reg64;
        // Between the two calls the counter goes on, for about as long as one of them takes.
        var call = Stopwatch.GetElapsedTime(start);
        ulong passed = (ulong)TimeStampRate!.Value.TicksAt((long)call.TotalNanoseconds);
        _registers.Queue(WhvRegister.Tsc, counter + passed + ticks);
        _registers.Flush();
        if (_fetched)
            _cpu.State->TscOffset += ticks;
    }
}
