using System.Globalization;
using System.Text.RegularExpressions;

namespace Farm.Machine.Network;

/// <summary>An Ethernet station address of six bytes, first byte on the wire first.</summary>
public readonly partial record struct MacAddress
{
    public const int Length = 6;

    private readonly ulong _value;

    public MacAddress(ReadOnlySpan<byte> bytes)
    {
        for (int i = 0; i < Length; i++)
            _value = _value << 8 | bytes[i];
    }

    /// <summary>The station address of the machine's card number <paramref name="index"/>: locally administered, the same in each run.</summary>
    public static MacAddress OfCard(int index) => new([0x52, 0x54, 0x00, 0x46, 0x52, (byte)(0x4D + index)]);

    public byte this[int index] => (byte)(_value >> (8 * (Length - 1 - index)));

    /// <summary>True for broadcast and multicast addresses.</summary>
    public bool IsGroup => (this[0] & 1) != 0;

    /// <summary>Six pairs of hexadecimal digits with colons or dashes between; null for anything else.</summary>
    public static MacAddress? TryParse(string text) =>
        Form().IsMatch(text) ? new MacAddress(Convert.FromHexString(text.Replace(":", "", StringComparison.Ordinal).Replace("-", "", StringComparison.Ordinal))) : null;

    public byte[] ToArray()
    {
        var bytes = new byte[Length];
        for (int i = 0; i < Length; i++)
            bytes[i] = this[i];
        return bytes;
    }

    public override string ToString() => string.Join(':', ToArray().Select(part => part.ToString("x2", CultureInfo.InvariantCulture)));

    [GeneratedRegex(@"^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}\z")]
    private static partial Regex Form();
}
