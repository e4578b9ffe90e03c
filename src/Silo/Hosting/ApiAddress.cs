using System.Net;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace Farm.Silo.Hosting;

/// <summary>Where this host's HTTP API answers, once it listens.</summary>
public sealed class ApiAddress(IServiceProvider services, FarmSiloOptions options)
{
    /// <summary>For callers on this machine.</summary>
    public string? Url => Listening is { } url ? Replace(url, IsAny(options.HttpAddress) ? IPAddress.Loopback : options.HttpAddress) : null;

    /// <summary>For workers, wherever they are.</summary>
    public string? Advertised => Listening is { } url ? Replace(url, options.AdvertisedAddress ?? options.HttpAddress) : null;

    private Uri? Listening => services.GetService<IServer>()?.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() is { } url ? new(url) : null;

    /// <summary>To listen on; nobody can be reached there.</summary>
    public static bool IsAny(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);

    private static string Replace(Uri url, IPAddress address) => $"{url.Scheme}://{new IPEndPoint(address, url.Port)}";
}
