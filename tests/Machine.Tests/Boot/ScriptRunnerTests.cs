using System.Text;
using Farm.Machine.Boot;
using Farm.Machine.Devices.Vga;

namespace Farm.Machine.Tests.Boot;

public sealed class ScriptRunnerTests
{
    private readonly FakeGuest _guest = new();

    [Fact]
    public void A_script_passes_when_its_text_appears_on_the_screen()
    {
        var runner = Start("- expect: 'A:\\\\>'");
        Assert.Equal(ScriptStatus.Running, _guest.Run(runner, 1));

        _guest.Show(3, "A:\\>");

        Assert.Equal(ScriptStatus.Passed, runner.Poll());
        Assert.Equal("All 1 steps were met.", runner.Message);
    }

    [Fact]
    public void A_text_on_the_serial_line_meets_an_expectation_too()
    {
        var runner = Start("- expect: '^login:'");
        Serial(runner, "Debian\r\n\e[1mlogin: ");

        Assert.Equal(ScriptStatus.Passed, runner.Poll());
    }

    [Theory]
    [InlineData("screen", ScriptStatus.Running)]
    [InlineData("serial", ScriptStatus.Passed)]
    public void On_limits_where_a_text_may_appear(string source, ScriptStatus expected)
    {
        var runner = Start($"- expect: login\n  on: {source}");
        Serial(runner, "login");

        Assert.Equal(expected, runner.Poll());
    }

    [Fact]
    public void Serial_expectations_are_met_in_order()
    {
        var runner = Start("- expect: done\n  on: serial\n- expect: start\n  on: serial");
        Serial(runner, "start done");
        Assert.Equal(ScriptStatus.Running, runner.Poll());

        Serial(runner, " start");

        Assert.Equal(ScriptStatus.Passed, runner.Poll());
    }

    [Fact]
    public void Goes_on_when_the_screen_has_stood_still_if_it_is_to_settle()
    {
        var runner = new ScriptRunner(GuestScript.Parse("steps:\n- expect: menu\n", "test.yaml"), _guest) { Settle = TimeSpan.FromSeconds(1) };
        _guest.Show(0, "menu");
        Assert.Equal(ScriptStatus.Running, _guest.Run(runner, 0.9));
        _guest.Show(1, "first entry");
        Assert.Equal(ScriptStatus.Running, _guest.Run(runner, 0.9));

        // Written again as it stands: nothing to see.
        _guest.Show(1, "first entry");

        Assert.Equal(ScriptStatus.Passed, _guest.Run(runner, 0.2));
    }

    [Fact]
    public void Goes_on_from_a_screen_that_never_stands_still_after_four_times_as_long()
    {
        var runner = new ScriptRunner(GuestScript.Parse("limits:\n  step-seconds: 3\nsteps:\n- expect: Pass\n", "test.yaml"), _guest) { Settle = TimeSpan.FromSeconds(1) };
        _guest.Show(0, "Pass");
        for (int i = 0; i < 39; i++)
        {
            _guest.Show(1, $"{i} %");
            Assert.Equal(ScriptStatus.Running, _guest.Run(runner, 0.1));
        }

        Assert.Equal(ScriptStatus.Passed, _guest.Run(runner, 0.2));
    }

    [Fact]
    public void The_prompt_that_stood_there_before_typing_does_not_answer_for_the_next_one()
    {
        var runner = Start("- expect: 'A:\\\\>'\n- type: \"ver\\n\"\n- expect: 'A:\\\\>'");
        _guest.Show(0, "A:\\>");
        Assert.Equal(ScriptStatus.Running, _guest.Run(runner, 1));
        Assert.Equal("V E R Enter ", _guest.Typed);
        Assert.Equal(2, runner.StepsDone);

        _guest.Show(0, "A:\\>ver");
        Assert.Equal(ScriptStatus.Running, runner.Poll());
        _guest.Show(2, "FreeCom version 0.82");
        _guest.Show(4, "A:\\>");

        Assert.Equal(ScriptStatus.Passed, runner.Poll());
    }

    [Fact]
    public void An_old_prompt_stays_old_while_it_scrolls_up()
    {
        _guest.Scroll("line 1", "line 2", "line 3", "A:\\>");
        var runner = Start("- type: 'x'\n- expect: 'A:\\\\>'");
        _guest.Run(runner, 1);
        _guest.Scroll("one", "two");
        Assert.Equal(ScriptStatus.Running, runner.Poll());

        _guest.Scroll("", "A:\\>");

        Assert.Equal(ScriptStatus.Passed, runner.Poll());
    }

    [Fact]
    public void A_prompt_in_the_same_place_is_new_when_the_whole_screen_was_replaced()
    {
        _guest.Scroll("a", "b", "c", "A:\\>");
        var runner = Start("- type: 'dir'\n- expect: 'A:\\\\>'");
        _guest.Run(runner, 1);

        _guest.Scroll("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "A:\\>");

        Assert.Equal(ScriptStatus.Passed, runner.Poll());
    }

    [Fact]
    public void A_menu_that_changes_in_place_shows_new_text_only_where_it_changed()
    {
        _guest.Show(0, "Setup menu");
        _guest.Show(1, "[ ] first");
        _guest.Show(2, "[ ] second");
        var runner = Start("- key: space\n- expect: '\\[.\\] second'\n- expect: first");
        _guest.Run(runner, 1);
        _guest.Show(1, "[x] first");
        Assert.Equal(1, runner.StepsDone);
        runner.Poll();
        Assert.Equal(1, runner.StepsDone);

        _guest.Show(2, "[x] second");
        runner.Poll();

        Assert.Equal(2, runner.StepsDone);
        Assert.Equal(ScriptStatus.Running, runner.Status);
    }

    [Fact]
    public void Anywhere_accepts_old_text()
    {
        _guest.Show(0, "A:\\>");
        var runner = Start("- type: 'x'\n- expect: 'A:\\\\>'\n  anywhere: true");

        Assert.Equal(ScriptStatus.Passed, _guest.Run(runner, 1));
    }

    [Fact]
    public void A_failure_pattern_ends_the_run_at_once_with_its_reason()
    {
        var runner = Start("- expect: login", "fail-on:\n- 'Non-System disk'\n- text: 'Kernel panic'\n  reason: the kernel has no root\n");
        _guest.Show(1, "Kernel panic - not syncing");

        Assert.Equal(ScriptStatus.Failed, runner.Poll());
        Assert.Contains("'Kernel panic': the kernel has no root", runner.Message, StringComparison.Ordinal);
        Assert.Contains("expect 'login'", runner.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_failure_pattern_is_seen_on_the_serial_line_across_polls()
    {
        var runner = Start("- expect: login", "fail-on: ['Kernel panic']\n");
        Serial(runner, "Kernel ");
        runner.Poll();
        Serial(runner, "panic");

        Assert.Equal(ScriptStatus.Failed, runner.Poll());
    }

    [Fact]
    public void A_step_s_timeout_is_in_guest_time_and_names_the_closest_line()
    {
        _guest.Show(4, "   Welcome to FreeD0S");
        var runner = Start("- expect: 'Welcome to FreeDOS'\n  timeout: 2.5");

        Assert.Equal(ScriptStatus.TimedOut, _guest.Run(runner, 10));
        Assert.Equal(2_500_000_000, _guest.GuestTime);
        Assert.Equal("2.5 s of guest time have passed. Step 1 of 1 (line 2), expect 'Welcome to FreeDOS', is not met; the closest text is "
            + "'Welcome to FreeD0S' (row 4 of the screen), distance 1 from 'Welcome to FreeDOS'.", runner.Message);
    }

    [Fact]
    public void A_timeout_tells_that_the_text_was_there_before_the_keys()
    {
        _guest.Show(0, "A:\\>");
        var runner = Start("- type: 'x'\n- expect: 'A:\\\\>'\n  timeout: 1");

        Assert.Equal(ScriptStatus.TimedOut, _guest.Run(runner, 10));
        Assert.Contains("stood there before", runner.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("guest-seconds: 3", 3_000_000_000)]
    [InlineData("instructions: 100_000_000", 1_000_000_000)]
    [InlineData("step-seconds: 2", 2_000_000_000)]
    public void Limits_end_the_run(string limit, long end)
    {
        var runner = Start("- expect: login", $"limits: {{ {limit} }}\n");

        Assert.Equal(ScriptStatus.TimedOut, _guest.Run(runner, 10));
        Assert.Equal(end, _guest.GuestTime);
    }

    [Fact]
    public void Typing_ends_when_the_guest_has_taken_the_keys()
    {
        _guest.Deaf = true;
        var runner = Start("- type: 'ab'\n  timeout: 5");
        Assert.Equal(ScriptStatus.Running, _guest.Run(runner, 1));
        _guest.Deaf = false;

        Assert.Equal(ScriptStatus.Passed, _guest.Run(runner, 1));
        Assert.Equal("A B ", _guest.Typed);
    }

    [Fact]
    public void Keys_that_nobody_takes_are_reported()
    {
        _guest.Deaf = true;
        var runner = Start("- type: 'ab'\n  timeout: 5");

        Assert.Equal(ScriptStatus.TimedOut, _guest.Run(runner, 10));
        Assert.Contains("has not taken all keys", runner.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Actions_are_done_in_order()
    {
        var runner = Start("- phase: start\n- insert: { drive: floppy0, media: disk2 }\n- eject: cdrom0\n- reset\n- wait: 2\n- phase: end\n- poweroff");

        Assert.Equal(ScriptStatus.Running, runner.Poll());
        Assert.Equal(["phase start", "insert disk2 floppy0", "eject cdrom0", "reset"], _guest.Log);
        Assert.Equal(ScriptStatus.Passed, _guest.Run(runner, 10));
        Assert.Equal(2_000_000_000, _guest.GuestTime);
        Assert.Equal(["phase end", "power off"], _guest.Log[4..]);
    }

    [Fact]
    public void A_medium_that_is_not_there_fails_the_run()
    {
        var runner = Start("- insert: { drive: floppy0, media: missing }");

        Assert.Equal(ScriptStatus.Failed, runner.Poll());
        Assert.StartsWith("The guest has no medium 'missing'. Step 1 of 1", runner.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_screen_before_a_reset_is_old()
    {
        _guest.Show(0, "C:\\>");
        var runner = Start("- reset\n- expect: 'C:\\\\>'");
        Assert.Equal(ScriptStatus.Running, _guest.Run(runner, 1));
        _guest.Clear();
        _guest.Run(runner, 1);
        _guest.Show(0, "C:\\>");

        Assert.Equal(ScriptStatus.Passed, runner.Poll());
    }

    [Fact]
    public void A_graphics_mode_can_be_expected_by_size()
    {
        var runner = Start("- expect-graphics: { width: 640, height: 480 }");
        _guest.ShowPicture(new RgbaImage(320, 200, new uint[320 * 200]));
        Assert.Equal(ScriptStatus.Running, runner.Poll());
        Assert.Contains("graphics of 320x200", runner.Explain(), StringComparison.Ordinal);

        _guest.ShowPicture(new RgbaImage(640, 480, new uint[640 * 480]));

        Assert.Equal(ScriptStatus.Passed, runner.Poll());
    }

    [Fact]
    public void A_region_can_be_expected_by_the_hash_that_a_failed_run_reports()
    {
        var pixels = new uint[64 * 64];
        pixels[10 * 64 + 10] = 0xFFFFFFFF;
        _guest.ShowPicture(new RgbaImage(64, 64, pixels));
        var first = Start("- expect-region-hash: { x: 8, y: 8, width: 8, height: 8, hash: '0' }\n  timeout: 1");
        Assert.Equal(ScriptStatus.TimedOut, _guest.Run(first, 5));
        string hash = first.Message.Split("hash is ")[1].TrimEnd('.');

        var second = Start($"- expect-region-hash: {{ x: 8, y: 8, width: 8, height: 8, hash: '{hash}' }}");

        Assert.Equal(ScriptStatus.Passed, second.Poll());
    }

    [Fact]
    public void Without_steps_the_script_passes_when_the_guest_powers_off()
    {
        var runner = new ScriptRunner(GuestScript.Empty, _guest);
        Assert.Equal(ScriptStatus.Running, _guest.Run(runner, 1));

        Assert.Equal(ScriptStatus.Passed, runner.GuestPoweredOff());
    }

    [Fact]
    public void A_power_off_too_early_fails_and_an_expected_one_passes()
    {
        var early = Start("- expect: login");
        var expected = Start("- type: \"poweroff\\n\"\n- expect-poweroff\n- phase: off");
        expected.Poll();

        Assert.Equal(ScriptStatus.Failed, early.GuestPoweredOff());
        Assert.StartsWith("The guest powered off. Step 1 of 1", early.Message, StringComparison.Ordinal);
        Assert.Equal(ScriptStatus.Passed, expected.GuestPoweredOff());
    }

    [Fact]
    public void A_screen_that_does_not_change_is_read_once()
    {
        var runner = Start("- expect: login");
        _guest.Show(0, "boot");
        _guest.Run(runner, 5);

        Assert.Equal(1, _guest.Looks);
    }

    private ScriptRunner Start(string steps, string more = "") => new(GuestScript.Parse($"{more}steps:\n{steps}\n", "test.yaml"), _guest);

    private static void Serial(ScriptRunner runner, string text) => runner.SerialOutput(Encoding.Latin1.GetBytes(text));
}
