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
            Backend = EnumText.Parse<Backend>(match.Groups["backend"].Value, "backend"),
            Assist = EnumText.Parse<AssistMode>(match.Groups["assist"].Value, "assist"),
            Firmware = EnumText.Parse<FirmwareSet>(match.Groups["firmware"].Value, "firmware"),
            Build = match.Groups["build"] is { Success: true } build ? build.Value : null,
        };
    }

    public static string Text(MatrixQuery side)
    {
        string text = string.Create(CultureInfo.InvariantCulture, $"{side.Backend}{(side.Assist is { } assist ? $"/{assist}" : "")}{(side.Firmware is { } firmware ? $":{firmware}" : "")}").ToLowerInvariant();
        return side.Build is { Length: > 0 } build ? $"{text}#{build}" : text;
    }

    [GeneratedRegex(@"^(?<backend>[A-Za-z]\w*)?(/(?<assist>[A-Za-z]\w*))?(:(?<firmware>[A-Za-z]\w*))?(#(?<build>[\w.-]{1,64}))?$", RegexOptions.CultureInvariant)]
    private static partial Regex Side();
}
