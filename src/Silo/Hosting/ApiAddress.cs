using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace Farm.Silo.Hosting;

/// <summary>Where this host's HTTP API answers, once it listens.</summary>
public sealed class ApiAddress(IServiceProvider services)
{
    public string? Url => services.GetService<IServer>()?.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault();
}
