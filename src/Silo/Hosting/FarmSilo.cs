using System.Net;
using System.Net.Sockets;
using Farm.Contracts.Api;
using Farm.Contracts.Workers;
using Farm.Silo.Api;
using Farm.Silo.Artifacts;
using Farm.Silo.Grains;
using Farm.Silo.Storage;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Npgsql;
using Orleans.Configuration;

namespace Farm.Silo.Hosting;

/// <summary>A silo in this process: Orleans, the API, and what a caller hosts beside them (a dashboard, a worker).</summary>
public sealed class FarmSilo : IAsyncDisposable
{
    private static readonly TimeSpan s_longestDrain = TimeSpan.FromSeconds(20);

    private readonly NpgsqlDataSource _database;
    private readonly SoleSiloLock? _sole;

    private FarmSilo(WebApplication app, NpgsqlDataSource database, SoleSiloLock? sole)
    {
        App = app;
        _database = database;
        _sole = sole;
    }

    public WebApplication App { get; }

    /// <summary>The farm for callers in this process.</summary>
    public IFarm Farm => App.Services.GetRequiredService<FarmService>();
    public IGrainFactory Grains => App.Services.GetRequiredService<IGrainFactory>();

    /// <summary>Where the API and the dashboard answer on this machine.</summary>
    public string Url => App.Services.GetRequiredService<ApiAddress>().Url ?? throw new InvalidOperationException("The silo does not listen yet.");

    /// <summary>Where workers of other machines find this silo.</summary>
    public IPEndPoint Gateway
    {
        get
        {
            var endpoints = App.Services.GetRequiredService<IOptions<EndpointOptions>>().Value;
            return new(endpoints.AdvertisedIPAddress ?? IPAddress.Loopback, endpoints.GatewayPort);
        }
    }

    /// <summary>Migrates the database, writes the catalogue, starts.</summary>
    /// <param name="services">Hosts more beside the silo, for example a dashboard's services or a worker.</param>
    /// <param name="pipeline">Maps more endpoints.</param>
    /// <exception cref="DatabaseException">The database cannot be used.</exception>
    public static async Task<FarmSilo> Start(
        FarmSiloOptions options, Action<WebApplicationBuilder>? services = null, Action<WebApplication>? pipeline = null, CancellationToken cancel = default)
    {
        var database = NpgsqlDataSource.Create(options.ConnectionString);
        SoleSiloLock? sole = null;
        try
        {
            await Migrator.Migrate(database, cancel: cancel);
            if (options.Catalogue is { } catalogue)
                await new GuestStore(database).Replace(catalogue, options.Time.GetUtcNow(), cancel);
            if (options.Sole)
                sole = await SoleSiloLock.Take(options.ConnectionString, options.ClusterId, cancel);
            var builder = WebApplication.CreateSlimBuilder();
            Configure(builder, options, database);
            services?.Invoke(builder);
            builder.Services.TryAddSingleton<IMediaShelf, EmptyShelf>();
            var app = builder.Build();
            app.UseMiddleware<ApiGuard>();
            app.MapFarmApi();
            pipeline?.Invoke(app);
            await app.StartAsync(cancel);
            return new(app, database, sole);
        }
        catch
        {
            if (sole is not null)
                await sole.DisposeAsync();
            await database.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await App.StopAsync();
        await App.DisposeAsync();
        if (_sole is not null)
            await _sole.DisposeAsync();
        await _database.DisposeAsync();
    }

    private static void Configure(WebApplicationBuilder builder, FarmSiloOptions options, NpgsqlDataSource database)
    {
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(options.HttpAddress, options.HttpPort, listen => listen.Protocols = HttpProtocols.Http1AndHttp2));
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning).AddFilter("Polly", LogLevel.Warning).AddFilter("Orleans", LogLevel.Warning).AddFilter("Npgsql", LogLevel.Warning);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = s_longestDrain);
        builder.Services.Configure<RouteHandlerOptions>(routes => routes.ThrowOnBadRequest = true);
        builder.Services.ConfigureHttpJsonOptions(json => FarmJson.Configure(json.SerializerOptions));
        builder.Services
            .AddSingleton(options).AddSingleton(options.Timings).AddSingleton(new FarmClock(options.Time)).AddSingleton(database)
            .AddSingleton<GuestStore>().AddSingleton<WorkerStore>().AddSingleton<JobStore>().AddSingleton<RunStore>().AddSingleton<LeaseStore>()
            .AddSingleton<DurationCache>().AddSingleton<CellStore>().AddSingleton<TriageStore>().AddSingleton<ArtifactIndex>()
            .AddSingleton<IArtifactStore>(_ => new FolderArtifactStore(options.ArtifactFolder, options.LargestArtifact, options.ArtifactQuota))
            .AddSingleton<FarmReader>().AddSingleton<FarmNews>().AddSingleton<ApiAddress>()
            .AddSingleton<FarmService>().AddSingleton<IFarm>(provider => provider.GetRequiredService<FarmService>());
        builder.UseOrleans(silo => ConfigureOrleans(silo, options));
        // after Orleans: hosted services start in this order
        builder.Services.AddSingleton<FeedHub>().AddHostedService(provider => provider.GetRequiredService<FeedHub>());
        builder.Services.AddHostedService<QueueStarter>();
        builder.Services.AddHostedService<ArtifactJanitor>();
    }

    private static void ConfigureOrleans(ISiloBuilder silo, FarmSiloOptions options)
    {
        // the providers' tables have a schema of their own; their SQL names them bare
        var connection = new NpgsqlConnectionStringBuilder(options.ConnectionString) { SearchPath = "orleans", ApplicationName = "farm-orleans", MaxPoolSize = 20 }.ConnectionString;
        silo.Configure<ClusterOptions>(cluster => (cluster.ClusterId, cluster.ServiceId) = (options.ClusterId, options.ServiceId));
        silo.Configure<EndpointOptions>(endpoints =>
        {
            endpoints.AdvertisedIPAddress = options.AdvertisedAddress ?? options.SiloAddress;
            endpoints.SiloPort = options.SiloPort > 0 ? options.SiloPort : FreePort();
            endpoints.GatewayPort = options.GatewayPort > 0 ? options.GatewayPort : FreePort();
            endpoints.SiloListeningEndpoint = new(options.SiloAddress, endpoints.SiloPort);
            endpoints.GatewayListeningEndpoint = new(options.SiloAddress, endpoints.GatewayPort);
        });
        silo.UseAdoNetClustering(clustering => (clustering.Invariant, clustering.ConnectionString) = ("Npgsql", connection));
        silo.UseAdoNetReminderService(reminders => (reminders.Invariant, reminders.ConnectionString) = ("Npgsql", connection));
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
