namespace Farm.EndToEnd.WholeFarm;

/// <summary>One farm and one browser for all tests of a class.</summary>
public sealed class RunningFarm : IAsyncLifetime
{
    private FarmProcess? _farm;
    private Browser? _browser;

    internal FarmProcess Farm => _farm!;

    internal Browser Browser => _browser!;

    public async ValueTask InitializeAsync()
    {
        _browser = await Browser.Start();
        _farm = new FarmProcess(
            ["freedos", "grub2", "memtest86plus", "ipxe", "rhel3-u5", "fedora-core-3", "freebsd-5.3", "msdos-5.0"],
            ["freedos-722.img"]);
        _farm.Add(Probes.RefusedOpcode);
        _farm.Add(Probes.GuestBug);
        _farm.Add(Probes.Slow);
        await _farm.Start("--slots", "2");
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
            await _browser.DisposeAsync();
        if (_farm is not null)
            await _farm.DisposeAsync();
    }
}
