using Microsoft.Playwright;

namespace Farm.EndToEnd.WholeFarm;

/// <summary>A real browser without a window: Debian's chromium.</summary>
internal sealed class Browser : IAsyncDisposable
{
    private static readonly string[] s_programs = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    private readonly IPlaywright _playwright;
    private readonly IBrowser _browser;

    private Browser(IPlaywright playwright, IBrowser browser) => (_playwright, _browser) = (playwright, browser);

    /// <summary>Skips the test where no browser is installed.</summary>
    public static async Task<Browser> Start()
    {
        string? program = s_programs.FirstOrDefault(File.Exists);
        Assert.SkipWhen(program is null, "No browser is installed; install the package chromium.");
        var playwright = await Playwright.CreateAsync();
        var browser = await playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = program,
            Args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            Timeout = 300_000,
        });
        return new(playwright, browser);
    }

    /// <summary>A page whose waits are stretched by the host's load.</summary>
    public async Task<IPage> Open(string url)
    {
        var page = await _browser.NewPageAsync(new() { ViewportSize = new() { Width = 1280, Height = 1000 } });
        page.SetDefaultTimeout((float)(60_000 * Math.Max(2, FarmProcess.Load)));
        await page.GotoAsync(url);
        return page;
    }

    public async ValueTask DisposeAsync()
    {
        await _browser.DisposeAsync();
        _playwright.Dispose();
    }
}
