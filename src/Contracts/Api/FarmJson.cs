using System.Text.Json;
using System.Text.Json.Serialization;

namespace Farm.Contracts.Api;

/// <summary>The one JSON dialect of API, command line and VM child: camelCase, enums by name, nulls left out.</summary>
public static class FarmJson
{
    public const int Depth = 32;

    public static JsonSerializerOptions Options { get; } = Configure(new(JsonSerializerDefaults.Web));

    public static JsonSerializerOptions Configure(JsonSerializerOptions options)
    {
        options.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
        options.MaxDepth = Depth;
        if (!options.Converters.OfType<JsonStringEnumConverter>().Any())
            options.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.CamelCase, allowIntegerValues: false));
        return options;
    }
}
