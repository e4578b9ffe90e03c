using System.Text.Json;

namespace Farm.Cli.Tests;

/// <summary>Exit codes, messages and files of <c>farm boot</c>.</summary>
public sealed class BootCommandTests : IDisposable
{
    private readonly FarmCommand _farm = new();

    public void Dispose() => _farm.Dispose();

    [Fact]
    public async Task Met_expectations_exit_0_and_leave_report_screenshot_and_screen()
    {
        string report = Path.Combine(_farm.Folder, "r.json");
        string picture = Path.Combine(_farm.Folder, "s.png");
        var result = await _farm.Run("boot", "--backend", "soft", "--floppy", _farm.Floppy, "--expect", "hello, (farm)", "--report", report, "--screenshot", picture, "--screen-text", "-", "--guest-timeout", "60");
        Assert.Contains("hello, farm", result.Succeeds(), StringComparison.Ordinal);
        using var json = JsonDocument.Parse(await File.ReadAllTextAsync(report, TestContext.Current.CancellationToken));
        Assert.Equal("pass", json.RootElement.GetProperty("outcome").GetString(), ignoreCase: true);
        Assert.True(json.RootElement.GetProperty("instructions").GetInt64() > 10_000);
        foreach (string name in new[] { "phases", "exits", "assistTraps", "unsupportedOpcodes", "interrupts", "clockMode" })
            Assert.True(json.RootElement.TryGetProperty(name, out _), $"The report has no {name}.");
        byte[] png = await File.ReadAllBytesAsync(picture, TestContext.Current.CancellationToken);
        Assert.Equal([0x89, (byte)'P', (byte)'N', (byte)'G'], png[..4]);
    }

    [Fact]
    public async Task A_guest_that_does_not_get_there_exits_1()
    {
        var result = await _farm.Run("boot", "--backend", "soft", "--floppy", _farm.Floppy, "--expect", "never", "--guest-timeout", "10");
        result.Fails(1, "never");
    }

    [Fact]
    public async Task A_backend_that_is_not_here_exits_3() =>
        (await _farm.Run("boot", "--backend", OperatingSystem.IsWindows() ? "kvm" : "whp", "--floppy", _farm.Floppy)).Fails(3);

    [Theory]
    [InlineData("--no-such-option", "--no-such-option")]
    [InlineData("--memory 0", "--memory")]
    [InlineData("--memory much", "--memory")]
    [InlineData("--assist real", "--assist")]
    [InlineData("--firmware award", "--firmware")]
    [InlineData("--backend bochs", "--backend")]
    [InlineData("--cpu 8086", "8086")]
    [InlineData("--order xyz", "--order")]
    [InlineData("--floppy missing.img", "missing.img")]
    [InlineData("--disk missing.img", "missing.img")]
    [InlineData("--cdrom missing.iso", "missing.iso")]
    [InlineData("--floppy a.img --floppy b.img --floppy c.img", "--floppy")]
    [InlineData("--expect (", "(")]
    [InlineData("--script bad.yaml", "bad.yaml")]
    [InlineData("--script missing.yaml", "missing.yaml")]
    [InlineData("--bios short.rom", "short.rom")]
    [InlineData("--bios missing.rom", "missing.rom")]
    [InlineData("--vgabios short.rom", "short.rom")]
    [InlineData("--report missing/r.json", "--report")]
    [InlineData("--screenshot missing/s.png", "--screenshot")]
    [InlineData("--serial missing/s.log", "--serial")]
    [InlineData("--timeout -1", "--timeout")]
    [InlineData("--guest-timeout 0", "--guest-timeout")]
    public async Task Bad_usage_and_bad_input_exit_2_and_say_what_is_wrong(string options, string word)
    {
        _farm.Write("bad.yaml", "steps:\n  - expect: [\n");
        _farm.Write("short.rom", new byte[1000]);
        (await _farm.Run(["boot", "--backend", "soft", .. options.Split(' ')])).Fails(2, word);
    }
}
