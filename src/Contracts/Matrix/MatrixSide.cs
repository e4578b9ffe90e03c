using System.Globalization;
using System.Text.RegularExpressions;
using Farm.Contracts.Api;

namespace Farm.Contracts.Matrix;

/// <summary>One side of a comparison as text: <c>[BACKEND][/ASSIST][:FIRMWARE][#BUILD]</c>; what is left out is any.</summary>
public static partial class MatrixSide
{
    public const string Form = "[BACKEND][/ASSIST][:FIRMWARE][#BUILD]";

    /// <exception cref="FarmException">It is no such text.</exception>
    public static MatrixQuery Parse(string text)
    {
        var match = Side().Match(text);
        if (!match.Success)
            throw new FarmException(FarmErrorKind.Invalid, $"'{text}' is no side of a comparison: give {Form}, such as kvm, soft/vm86, /native:seabios or #5a61ae48.");
        return new MatrixQuery
        {
            Backend = Part<Backend>(match.Groups["backend"], "backend"),
            Assist = Part<AssistMode>(match.Groups["assist"], "assist"),
            Firmware = Part<FirmwareSet>(match.Groups["firmware"], "firmware"),
            Build = match.Groups["build"] is { Success: true } build ? build.Value : null,
        };
    }

    public static string Text(MatrixQuery side)
    {
        string text = string.Create(CultureInfo.InvariantCulture, $"{side.Backend}{(side.Assist is { } assist ? $"/{assist}" : "")}{(side.Firmware is { } firmware ? $":{firmware}" : "")}").ToLowerInvariant();
        return side.Build is { Length: > 0 } build ? $"{text}#{build}" : text;
    }

    private static T? Part<T>(Group group, string what) where T : struct, Enum =>
        !group.Success ? null
        : Enum.TryParse<T>(group.Value, ignoreCase: true, out var value) ? value
        : throw new FarmException(FarmErrorKind.Invalid, $"'{group.Value}' is no {what}: {string.Join(", ", Enum.GetNames<T>()).ToLowerInvariant()}.");

    [GeneratedRegex(@"^(?<backend>[A-Za-z]\w*)?(/(?<assist>[A-Za-z]\w*))?(:(?<firmware>[A-Za-z]\w*))?(#(?<build>[\w.-]{1,64}))?$", RegexOptions.CultureInvariant)]
    private static partial Regex Side();
}
