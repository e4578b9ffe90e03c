using Farm.Contracts.Api;
using Farm.Dashboard.Components;
using Farm.Dashboard.Model;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Farm.Dashboard;

/// <summary>Puts the dashboard into an ASP.NET host that has an <see cref="IFarm"/> among its services.</summary>
public static class DashboardHosting
{
    public static IServiceCollection AddFarmDashboard(this IServiceCollection services)
    {
        services.AddRazorComponents().AddInteractiveServerComponents();
        services.AddSingleton<LiveFeed>();
        services.AddSingleton(TimeProvider.System);
        return services;
    }

    public static IEndpointRouteBuilder MapFarmDashboard(this IEndpointRouteBuilder app)
    {
        app.MapStaticAssets();
        app.MapRazorComponents<App>().AddInteractiveServerRenderMode();
        return app;
    }
}
