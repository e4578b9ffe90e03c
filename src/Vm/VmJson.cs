using System.Text.Json;
using System.Text.Json.Serialization;
using Farm.Assist.Reports;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Triage;

namespace Farm.Vm;

/// <summary>What goes between a worker and a VM's process, in the dialect of <see cref="FarmJson"/>. A program compiled ahead has no reflection to do it by.</summary>
[JsonSerializable(typeof(VmJob))]
[JsonSerializable(typeof(VmMessage))]
[JsonSerializable(typeof(UnsupportedOpcodeReport))]
public sealed partial class VmJson : JsonSerializerContext
{
    public static VmJson Farm { get; } = new(Dialect());

    internal static JsonSerializerOptions Dialect()
    {
        var options = new JsonSerializerOptions(JsonSerializerDefaults.Web) { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, MaxDepth = FarmJson.Depth };
        Name<JobKind>();
        Name<MediaKind>();
        Name<MediaState>();
        Name<Backend>();
        Name<AssistMode>();
        Name<FirmwareSet>();
        Name<BootPhase>();
        Name<GuestOutcome>();
        Name<RunHealth>();
        Name<Contracts.Triage.CpuMode>();
        Name<Assist.Reports.CpuMode>();
        return options;

        void Name<T>()
            where T : struct, Enum => options.Converters.Add(new JsonStringEnumConverter<T>(JsonNamingPolicy.CamelCase, allowIntegerValues: false));
    }
}

/// <summary>The assist's own form of an unsupported opcode, in the same dialect.</summary>
[JsonSerializable(typeof(UnsupportedOpcodeEvent))]
internal sealed partial class OpcodeJson : JsonSerializerContext
{
    public static OpcodeJson Farm { get; } = new(VmJson.Dialect());
}
