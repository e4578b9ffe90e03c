using System.Net;
using Farm.Contracts;
using Farm.Contracts.Workers;
using Farm.Worker.Leases;
using Farm.Worker.Media;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;
using Orleans.Configuration;

namespace Farm.Worker.Hosting;

/// <summary>Runs a worker: beside a silo in one process, or in a process of its own as an Orleans client.</summary>
public static class WorkerHost
{
    /// <summary>Adds the worker to a host that has a grain factory (a silo, or an Orleans client).</summary>
    public static IServiceCollection AddFarmWorker(this IServiceCollection services, WorkerOptions options)
    {
        Directory.CreateDirectory(options.Folder);
        services.AddSingleton(options);
        services.AddMediaShelf(options.MediaFolders, Path.Combine(options.Folder, "media-digests.json"));
        services.TryAddSingleton(new ApiEndpoint(() => options.ApiUrl));
        services.AddSingleton(provider => new MediaCache(Path.Combine(options.Folder, "fetched"), (long)options.MediaCacheMiB << 20, provider.GetRequiredService<ApiEndpoint>(), options.Time));
        services.AddSingleton<HttpArtifactSink>();
        services.AddSingleton<FarmWorker>();
        services.AddHostedService(provider => provider.GetRequiredService<FarmWorker>());
        return services;
    }

    /// <summary>The media in these folders; beside a silo they are what it hands to workers that lack them. Somebody has to scan them.</summary>
    public static IServiceCollection AddMediaShelf(this IServiceCollection services, IReadOnlyList<string> folders, string digests)
    {
        services.AddSingleton(new MediaLibrary(folders, digests));
        services.AddSingleton<IMediaShelf>(provider => provider.GetRequiredService<MediaLibrary>());
        return services;
    }

    /// <summary>A media shelf in a silo without a worker.</summary>
    public static IServiceCollection AddScannedMediaShelf(this IServiceCollection services, IReadOnlyList<string> folders, string digests)
    {
        services.TryAddSingleton(TimeProvider.System);
        return services.AddMediaShelf(folders, digests).AddHostedService<MediaScanner>();
    }

    /// <summary>
    /// A host with a worker alone. It finds the silos by their gateways, or by the farm's database; with neither it looks at this
    /// machine's usual gateway port.
    /// </summary>
    public static IHost CreateHost(WorkerOptions options, WorkerConnection connection, Action<HostApplicationBuilder>? configure = null)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new());
        // a silo that is away is told in one line, below and by the worker; a start that fails throws
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true).AddFilter("Orleans", LogLevel.Error).AddFilter("Microsoft", LogLevel.Warning)
            .AddFilter("Microsoft.Extensions.Hosting", LogLevel.Critical).AddFilter("Polly", LogLevel.Warning);
        // the longest drain is a sign-off; the VMs are killed
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(15));
        builder.UseOrleansClient(client =>
        {
            client.Configure<ClusterOptions>(cluster => (cluster.ClusterId, cluster.ServiceId) = (connection.ClusterId, connection.ServiceId));
            if (connection.Gateways.Count > 0)
                client.UseStaticClustering([.. connection.Gateways]);
            else if (connection.ConnectionString is { } database)
                client.UseAdoNetClustering(clustering =>
                {
                    clustering.Invariant = "Npgsql";
                    clustering.ConnectionString = new NpgsqlConnectionStringBuilder(database) { SearchPath = "orleans" }.ConnectionString;
                });
            else
                client.UseStaticClustering(new IPEndPoint(IPAddress.Loopback, WorkerConnection.DefaultGatewayPort));
            // a silo that starts again listens elsewhere: it has to be found well before its worker is thought dead
            client.Configure<GatewayOptions>(gateways => gateways.GatewayListRefreshPeriod = TimeSpan.FromSeconds(3));
            int told = 0;
            client.UseConnectionRetryFilter(async (error, cancel) =>
            {
                // a worker may be started before its farm
                if (Interlocked.Exchange(ref told, 1) == 0)
                    Console.Error.WriteLine($"farm: no silo answers at {Where(connection)} yet ({Reason(error)}); trying again every 2 s");
                await Task.Delay(TimeSpan.FromSeconds(2), cancel);
                return true;
            });
        });
        builder.Services.TryAddSingleton(options.Time);
        builder.Services.AddFarmWorker(options);
        configure?.Invoke(builder);
        return builder.Build();
    }

    private static string Where(WorkerConnection connection) =>
        connection.Gateways.Count > 0 ? string.Join(", ", connection.Gateways)
        : connection.ConnectionString is not null ? "the gateways that the farm's database lists"
        : $"{IPAddress.Loopback}:{WorkerConnection.DefaultGatewayPort} (name one with --gateway)";

    private static string Reason(Exception error) => error.InnerException is { } inner ? Reason(inner) : error.Message.Split('\n')[0].TrimEnd('.', '\r');

    /// <summary>Capabilities of this host with these backends.</summary>
    public static WorkerCapabilities Describe(IReadOnlyList<Backend> backends, IReadOnlyList<FirmwareSet> firmware, IReadOnlyList<string>? missing = null, int? memoryMiB = null) => new()
    {
        Backends = backends,
        Firmware = firmware,
        Missing = missing ?? [],
        // half of the machine's memory for guests, so that the host stays quick
        MemoryMiB = memoryMiB ?? Math.Max(64, HostState.MemoryMiB / 2),
        Host = Environment.MachineName,
        OperatingSystem = System.Runtime.InteropServices.RuntimeInformation.OSDescription,
        Version = typeof(WorkerHost).Assembly.GetName().Version?.ToString(3) ?? "",
    };
}

/// <summary>How a worker in a process of its own finds the farm.</summary>
public sealed record WorkerConnection
{
    public const int DefaultGatewayPort = 30000;

    /// <summary>Silos' gateways.</summary>
    public IReadOnlyList<IPEndPoint> Gateways { get; init; } = [];

    /// <summary>The farm's database, where silos are listed; used when no gateway is named.</summary>
    public string? ConnectionString { get; init; }
    public string ClusterId { get; init; } = "farm";
    public string ServiceId { get; init; } = "farm";
}
