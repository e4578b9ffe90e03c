using Farm.Machine.Boot;

namespace Farm.Machine.Tests.Boot;

public sealed class StallClassifierTests
{
    private const long Millisecond = 1_000_000;

    private readonly StallClassifier _classifier = new();

    [Fact]
    public void A_guest_that_walks_about_is_not_stalled()
    {
        Run(2000, i => At(0x100000 + (ulong)(i * 97 % 50_000)) with { Taken = (ulong)i });

        Assert.Null(_classifier.Classify());
        Assert.False(_classifier.Endless);
    }

    [Fact]
    public void Nothing_is_said_before_most_of_a_second_was_seen()
    {
        Run(900, _ => At(0x7C00));

        Assert.Null(_classifier.Classify());
    }

    [Fact]
    public void A_tight_loop_is_named_by_its_address_in_spite_of_interrupt_handlers()
    {
        Run(2000, i => At(i % 20 == 0 ? 0xFE000 + (ulong)i : 0x7C10 + (ulong)(i % 3)) with { InterruptsOn = true, Taken = (ulong)(i / 20) });

        var stall = _classifier.Classify();

        Assert.Equal(StallKind.TightLoop, stall?.Kind);
        Assert.Contains("0000:7C10 (linear 00007C10)", stall!.Text, StringComparison.Ordinal);
        Assert.Contains("interrupts on", stall.Text, StringComparison.Ordinal);
        Assert.False(_classifier.Endless);
    }

    [Fact]
    public void A_loop_in_which_a_fifth_of_the_time_goes_elsewhere_is_none()
    {
        Run(2000, i => At(i % 5 == 0 ? 0xFE000 + (ulong)(i * 100) : 0x7C10) with { InterruptsOn = true, Taken = (ulong)i });

        Assert.Null(_classifier.Classify());
    }

    [Fact]
    public void A_loop_with_interrupts_off_that_asks_no_device_is_endless_after_five_seconds()
    {
        Run(5000, _ => At(0x7C10));
        Assert.False(_classifier.Endless);

        Run(2, _ => At(0x7C10));
        Assert.True(_classifier.Endless);
    }

    [Fact]
    public void A_loop_whose_registers_move_on_is_not_endless()
    {
        Run(20_000, i => At(0x7C10 + (ulong)(i % 3)) with { Registers = (ulong)i });

        Assert.False(_classifier.Endless);
    }

    [Theory]
    [InlineData(true, 0, 0)]
    [InlineData(false, 1, 0)]
    [InlineData(false, 0, 1)]
    public void A_loop_that_takes_interrupts_or_asks_a_device_or_counts_is_not_endless(bool interruptsOn, int accesses, int steps)
    {
        Run(20_000, i => At(0x7C10 + (ulong)(i % 2)) with { InterruptsOn = interruptsOn, Accesses = (ulong)(i * accesses), Registers = (ulong)(i * steps) });

        Assert.False(_classifier.Endless);
    }

    [Fact]
    public void A_port_that_is_polled_and_that_nobody_owns_is_named()
    {
        Run(2000, i => At(0x7C10) with { InterruptsOn = true, UnmappedPort = 0x1234, UnmappedReads = i * 1000, Accesses = (ulong)i * 1000 });

        var stall = _classifier.Classify();

        Assert.Equal(StallKind.UnhandledPort, stall?.Kind);
        Assert.Contains("port 1234h", stall!.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_port_that_was_probed_earlier_is_not_blamed()
    {
        Run(2000, i => At(0x7C10) with { InterruptsOn = true, UnmappedPort = 0x1234, UnmappedReads = 500 });

        Assert.Equal(StallKind.TightLoop, _classifier.Classify()?.Kind);
    }

    [Fact]
    public void A_request_that_waits_with_interrupts_off_is_unanswered()
    {
        Run(2000, i => At(0x7C10 + (ulong)(i * 97 % 50_000)) with { Waiting = (ushort)(0x4000 | (i % 2)) });

        var stall = _classifier.Classify();

        Assert.Equal(StallKind.UnansweredInterrupt, stall?.Kind);
        Assert.Contains("IRQ 14", stall!.Text, StringComparison.Ordinal);
        Assert.Contains("IF=0", stall.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_request_behind_an_interrupt_that_was_never_ended_is_unanswered()
    {
        Run(2000, i => At(0x7C10) with { InterruptsOn = true, Waiting = 1, InService = 1 });

        Assert.Contains("behind IRQ 0, which was never ended", _classifier.Classify()?.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_guest_that_sleeps_and_is_woken_is_idle_not_stalled()
    {
        Run(2000, i => At(0xC0101234) with { InterruptsOn = true, Idle = i * Millisecond, Taken = (ulong)(i / 10) });

        Assert.Null(_classifier.Classify());
    }

    [Fact]
    public void A_guest_that_sleeps_and_is_never_woken_is_stalled()
    {
        Run(2000, i => At(0xC0101234) with { InterruptsOn = true, Idle = i * Millisecond });

        Assert.Equal(StallKind.HaltedWithoutInterrupts, _classifier.Classify()?.Kind);
    }

    private long _time;

    private void Run(int samples, Func<int, StallSample> sample)
    {
        for (int i = 0; i < samples; i++)
        {
            _classifier.Add(sample(i) with { Time = _time });
            _time += Millisecond;
        }
    }

    private static StallSample At(ulong linear) => new(0, linear, 0, linear, false, 0, 0, 0, 0, 0, 0, 0, 0);
}
