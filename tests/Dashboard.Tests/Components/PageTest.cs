using Bunit;
using Farm.Contracts.Api;
using Farm.Contracts.Live;
using Farm.Dashboard.Model;
using Microsoft.AspNetCore.Components;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Farm.Dashboard.Tests.Components;

/// <summary>A page over a fake farm, with a clock that moves only when the test says so.</summary>
public abstract class PageTest : BunitContext
{
    protected PageTest()
    {
        Services.AddSingleton<IFarm>(Farm);
        Services.AddSingleton<TimeProvider>(Time);
        Services.AddSingleton<LiveFeed>();
        SetRendererInfo(new RendererInfo("Server", isInteractive: true));
    }

    protected FakeFarm Farm { get; } = new();

    protected FakeTimeProvider Time { get; } = new();

    /// <summary>The event arrives, and the page's time to show it passes.</summary>
    protected async Task Happens(FarmEvent change)
    {
        await Farm.Push(change);
        await Draws();
    }

    /// <summary>The page's time to show what it knows passes, and it has drawn: the renderer takes its work in order, so what is queued last runs last.</summary>
    protected Task Draws()
    {
        Time.Advance(TimeSpan.FromMilliseconds(100));
        return Renderer.Dispatcher.InvokeAsync(() => { });
    }
}
