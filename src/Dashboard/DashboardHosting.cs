using Farm.Contracts.Api;
using Farm.Dashboard.Components;
using Farm.Dashboard.Model;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Farm.Dashboard;

/// <summary>Puts the dashboard into an ASP.NET host that has an <see cref="IFarm"/> among its services.</summary>
public static class DashboardHosting
{
    public static IServiceCollection AddFarmDashboard(this IServiceCollection services)
    {
        services.AddRazorComponents().AddInteractiveServerComponents();
        services.AddSingleton<LiveFeed>();
        services.TryAddSingleton(TimeProvider.System);
        return services;
    }

    public static WebApplication MapFarmDashboard(this WebApplication app)
    {
        app.UseStatusCodePagesWithReExecute("/not-found", createScopeForStatusCodePages: true);
        app.UseAntiforgery();
        app.MapStaticAssets();
        app.MapRazorComponents<App>().AddInteractiveServerRenderMode();
        return app;
    }
}
