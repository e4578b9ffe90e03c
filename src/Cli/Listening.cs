using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Farm.Machine.Hypervisors;
using Farm.Silo.Hosting;
using Farm.Worker.Hosting;

namespace Farm.Cli;

/// <summary>Where a farm listens, and by what address the other machines' workers find it.</summary>
/// <param name="Advertised">Null: the one that it listens on.</param>
internal sealed record Listening(IPAddress Address, IPAddress? Advertised, int SiloPort, int GatewayPort)
{
    public static Option<string> Listen { get; } = new("--listen") { Description = "address to listen on; anything but loopback opens the farm, which has no passwords, to that network", DefaultValueFactory = _ => "127.0.0.1" };

    public static Option<string?> Advertise { get; } = new("--advertise") { Description = "address by which other machines reach this one, when it is not the one it listens on" };

    private static readonly Option<int> SiloPortOption = new("--silo-port") { Description = "port for other silos", DefaultValueFactory = _ => 11111 };
    private static readonly Option<int> GatewayPortOption = new("--gateway-port") { Description = "port for workers", DefaultValueFactory = _ => WorkerConnection.DefaultGatewayPort };

    public static IEnumerable<Option> Options => [Listen, Advertise, SiloPortOption, GatewayPortOption];

    /// <summary>Workers of other machines can come.</summary>
    public bool Open => Advertised is not null || !IPAddress.IsLoopback(Address);

    /// <param name="freePorts">Ports that nobody named are free ones when no other machine is expected.</param>
    /// <exception cref="BadInputException">It cannot be so.</exception>
    public static Listening From(ParseResult parsed, bool freePorts = false)
    {
        var listen = Parse("--listen", parsed.GetValue(Listen)!);
        IPAddress? advertise = parsed.GetValue(Advertise) is { } text ? Parse("--advertise", text) : null;
        if (advertise is not null && ApiAddress.IsAny(advertise))
            throw new BadInputException($"--advertise {advertise}: nobody can be reached there; give the address by which the other machines reach this one.");
        if (ApiAddress.IsAny(listen) && advertise is null)
        {
            var own = OwnAddresses(listen.AddressFamily);
            if (own.Count != 1)
                throw new BadInputException($"--listen {listen} listens on every address; say with --advertise by which one the other machines reach this one{(own.Count == 0 ? "" : $": {string.Join(", ", own)}")}.");
            advertise = own[0];
        }
        var listening = new Listening(listen, advertise, Port(parsed, SiloPortOption), Port(parsed, GatewayPortOption));
        return freePorts && !listening.Open
            ? listening with { SiloPort = Named(parsed, SiloPortOption) ? listening.SiloPort : 0, GatewayPort = Named(parsed, GatewayPortOption) ? listening.GatewayPort : 0 }
            : listening;
    }

    public FarmSiloOptions Apply(FarmSiloOptions options) => options with
    {
        HttpAddress = Address,
        SiloAddress = Address,
        AdvertisedAddress = Advertised,
        SiloPort = SiloPort,
        GatewayPort = GatewayPort,
    };

    /// <summary>What a user should know who opened the farm.</summary>
    public IEnumerable<string> Notes(IPEndPoint gateway)
    {
        if (!Open)
            yield break;
        yield return $"workers on other machines join with: farm worker --gateway {gateway}";
        if (!IPAddress.IsLoopback(Address))
            yield return $"listening on {(ApiAddress.IsAny(Address) ? "every address of this machine" : Address)}: whoever reaches its ports can use the farm and read its media, for it has no passwords";
    }

    public static IPAddress Parse(string option, string text) => IPAddress.TryParse(text, out var address) ? address : throw new BadInputException($"{option} {text}: give an IP address.");

    private static int Port(ParseResult parsed, Option<int> option) =>
        parsed.GetValue(option) is int port and >= 0 and <= 65535 ? port : throw new BadInputException($"{option.Name} {parsed.GetValue(option)} is no port: give 0 (any free one) to 65535.");

    private static bool Named(ParseResult parsed, Option option) => parsed.GetResult(option) is OptionResult { Implicit: false };

    private static List<IPAddress> OwnAddresses(AddressFamily family) =>
    [
        .. NetworkInterface.GetAllNetworkInterfaces().Where(card => card.OperationalStatus == OperationalStatus.Up)
            .SelectMany(card => card.GetIPProperties().UnicastAddresses).Select(unicast => unicast.Address)
            .Where(address => address.AddressFamily == family && !IPAddress.IsLoopback(address) && !address.IsIPv6LinkLocal).Distinct(),
    ];
}
