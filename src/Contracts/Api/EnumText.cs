namespace Farm.Contracts.Api;

/// <summary>Names of enum values that come from outside.</summary>
public static class EnumText
{
    /// <summary>The value of that name in any case; null of an empty text.</summary>
    /// <param name="name">What the text should be, for the error.</param>
    /// <exception cref="FarmException">There is no such value: the error lists those there are.</exception>
    public static T? Parse<T>(string? text, string name) where T : struct, Enum
    {
        if (string.IsNullOrEmpty(text))
            return null;
        if (!char.IsAsciiDigit(text[0]) && Enum.TryParse<T>(text, ignoreCase: true, out var value))
            return value;
        var known = string.Join(", ", Enum.GetNames<T>().Select(known => known.ToLowerInvariant()));
        throw new FarmException(FarmErrorKind.Invalid, $"'{text}' is no {name}: {known}.");
    }
}
