using Farm.Machine.Boot;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Tests.Boot;

public sealed class GuestScriptTests
{
    [Fact]
    public void A_script_is_read_with_all_its_steps()
    {
        var script = GuestScript.Parse(
            """
            limits: { guest-seconds: 120, instructions: 5_000_000_000, step-seconds: 30 }
            fail-on:
              - 'Invalid system disk'
              - { text: 'panic', on: serial, reason: 'the kernel gave up' }
            steps:
              - expect: 'A:\\>'
                on: screen
                timeout: 7.5
              - type: "fdos\\fdisk\n"
              - key: ctrl-alt-del
              - insert: { drive: floppy0, media: disk2 }
              - eject: cdrom0
              - reset
              - wait: 2
              - expect-graphics: { width: 640 }
              - expect-graphics
              - expect-region-hash: { x: 1, y: 2, width: 3, height: 4, hash: '00ff' }
              - phase: kernel
              - expect-poweroff
              - poweroff
            """, "t.yaml");

        Assert.Equal(TimeSpan.FromSeconds(120), script.GuestTime);
        Assert.Equal(TimeSpan.FromSeconds(30), script.StepTime);
        Assert.Equal(5_000_000_000ul, script.Instructions);
        Assert.Equal(["Invalid system disk", "panic"], script.FailOn.Select(fail => fail.Pattern.Text));
        Assert.Equal((TextSource.Serial, "the kernel gave up"), (script.FailOn[1].Source, script.FailOn[1].Reason));
        Assert.Equal(
            [
                "expect 'A:\\\\>' on screen", "type 'fdos\\fdisk\\n'", "type '<ctrl-alt-del>'", "insert disk2 into floppy0", "eject cdrom0", "reset",
                "wait 2 s", "expect graphics 640xany", "expect graphics anyxany", "expect region 1,2 3x4 with hash 00000000000000ff",
                "phase kernel", "expect power-off", "power off",
            ],
            script.Steps.Select(step => step.Describe()));
        Assert.Equal((TimeSpan.FromSeconds(7.5), 6), (script.Steps[0].Timeout, script.Steps[0].Line));
    }

    [Theory]
    [InlineData("((((a{0,1000}){0,1000}){0,1000}){0,1000})")]
    [InlineData("(.{1,1000}x){1,1000}$")]
    public void A_pattern_whose_automaton_would_fill_memory_is_refused(string pattern) =>
        Assert.Contains("too large", Assert.Throws<BadInputException>(() => new ScriptPattern(pattern)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("(a+)+$")]
    [InlineData("(a|aa)+$")]
    [InlineData("(.*)*x")]
    [InlineData("^(([a-z])+.)+[A-Z]([a-z])+$")]
    public void A_pattern_that_backtracks_elsewhere_is_matched_in_linear_time(string pattern) =>
        Assert.DoesNotMatch(new ScriptPattern(pattern).Regex, new string('a', 60_000) + "!");

    [Theory]
    [InlineData("steps: [ { expect: 'x' } ]\nlimit: 3", "t.yaml:2:1: unknown key 'limit'")]
    [InlineData("steps:\n  - expect: x\n    timout: 3", "t.yaml:3:5: unknown key 'timout' in the step 'expect'; known: expect, on, timeout, anywhere")]
    [InlineData("steps:\n  - expct: x", "t.yaml:2:5: a step does one thing")]
    [InlineData("steps:\n  - expect: x\n    type: y", "t.yaml:2:5: a step does one thing")]
    [InlineData("steps:\n  - halt", "t.yaml:2:5: 'halt' is not a step")]
    [InlineData("steps:\n  - expect: '('", "t.yaml:2:13: '(' is not a regular expression")]
    [InlineData("steps:\n  - expect: '(?=x)'", "t.yaml:2:13: The pattern '(?=x)' uses look-around")]
    [InlineData("steps:\n  - key: hyper", "t.yaml:2:10: Unknown key 'hyper'")]
    [InlineData("steps:\n  - type: 'a<entr>'", "t.yaml:2:11: Unknown key 'entr'")]
    [InlineData("steps:\n  - type: 'ж'", "t.yaml:2:11: No key of the US keyboard types 'ж'")]
    [InlineData("steps:\n  - wait: soon", "t.yaml:2:11: wait: 'soon' is not a number of guest seconds")]
    [InlineData("steps:\n  - wait: -1", "t.yaml:2:11: wait: '-1'")]
    [InlineData("steps:\n  - wait: NaN", "t.yaml:2:11: wait: 'NaN'")]
    [InlineData("steps:\n  - expect: x\n    on: printer", "t.yaml:3:9: on: 'printer' is unknown")]
    [InlineData("steps:\n  - insert: { drive: disk0, media: m }", "t.yaml:2:22: drive 'disk0' has no removable media")]
    [InlineData("steps:\n  - insert: { drive: floppy0 }", "t.yaml:2:13: 'media' is missing")]
    [InlineData("steps:\n  - expect-region-hash: { x: 0, y: 0, width: 1, height: 1, hash: zz }", "'zz' is not a number of up to 16 hexadecimal digits")]
    [InlineData("steps:\n  - expect-graphics: { width: 0 }", "width: '0' is not a whole number from 1 to 4096")]
    [InlineData("limits: { instructions: 0 }", "instructions: '0'")]
    [InlineData("steps: 5", "t.yaml:1:8: steps must be a list")]
    [InlineData("[1]", "t.yaml:1:1: a guest script must be a mapping")]
    [InlineData("steps:\n  - expect: x\n    expect: y", "t.yaml:3:5: not valid YAML")]
    [InlineData("steps: [", "not valid YAML")]
    [InlineData("a: &x 1\nb: *x", "t.yaml:2:4: aliases are not supported")]
    [InlineData("", "0 YAML documents")]
    [InlineData("steps: []\n---\nsteps: []", "2 YAML documents")]
    [InlineData("fail-on: [ { on: screen } ]", "'text' is missing")]
    public void A_script_with_an_error_says_where_and_what(string yaml, string message)
    {
        var error = Assert.Throws<BadInputException>(() => GuestScript.Parse(yaml, "t.yaml"));

        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.StartsWith("t.yaml:", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Deep_nesting_is_refused_before_it_can_exhaust_the_stack()
    {
        var error = Assert.Throws<BadInputException>(() => GuestScript.Parse("steps: " + new string('[', 500_000), "t.yaml"));

        Assert.Contains("nested deeper", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_script_that_is_too_long_is_refused() =>
        Assert.Throws<BadInputException>(() => GuestScript.Parse(new string(' ', 2 << 20), "t.yaml"));

    [Fact]
    public void A_missing_file_is_a_clear_error()
    {
        var error = Assert.Throws<BadInputException>(() => GuestScript.Load("/nonexistent/script.yaml"));

        Assert.Contains("/nonexistent/script.yaml cannot be read", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a\\n", "A Enter")]
    [InlineData("a\n", "A Enter")]
    [InlineData("a<enter>", "A Enter")]
    [InlineData("<f2><esc>", "F2 Escape")]
    [InlineData("\\\\n", "Backslash N")]
    [InlineData("c:\\dos\\fdisk", "C LeftShift Semicolon Backslash D O S Backslash F D I S K")]
    [InlineData("1<2", "D1 LeftShift Comma D2")]
    [InlineData("a < b > c", "A Space LeftShift Comma Space B Space LeftShift Period Space C")]
    [InlineData("<lt>f2>", "LeftShift Comma F D2 LeftShift Period")]
    [InlineData("<ctrl-c>", "LeftControl C")]
    public void Typed_text_has_escapes_and_named_keys(string text, string keys)
    {
        var presses = TypedText.Parse(text).Where(key => key.Pressed).Select(key => key.Key.ToString());

        Assert.Equal(keys, string.Join(' ', presses));
    }

    [Theory]
    [InlineData("A:\\\\>", "A:\\>")]
    [InlineData("Welcome to .*FreeDOS$", "Welcome to ")]
    [InlineData("[Ll]ogin: ?", "ogin:")]
    [InlineData("\\d+ files", " files")]
    [InlineData("\\(I\\)nstall, \\(U\\)pgrade", "(I)nstall, (U)pgrade")]
    [InlineData(".*", "")]
    [InlineData("a{3}bcd+", "bcd")]
    [InlineData("[", "")]
    public void The_longest_literal_of_a_pattern(string pattern, string literal) =>
        Assert.Equal(literal, ClosestLine.LongestLiteral(pattern));

    [Fact]
    public void The_closest_line_is_the_one_with_the_least_edits()
    {
        var closest = ClosestLine.Find("login:", ["Debian GNU/Linux", "", "debian logon: _", "log in"]);

        Assert.Equal(new ClosestLine(2, "debian logon: _", "login:", 1), closest);
    }

    [Fact]
    public void Key_steps_press_chords() =>
        Assert.Equal(
            [new KeyEvent(Key.LeftAlt, true), new KeyEvent(Key.F2, true), new KeyEvent(Key.F2, false), new KeyEvent(Key.LeftAlt, false)],
            Assert.IsType<TypeStep>(ScriptStep.Press("alt-f2")).Keys);
}
