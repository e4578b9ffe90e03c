namespace Farm.Catalogue;

/// <summary>The catalogue is not right; every error names its file and line.</summary>
public sealed class CatalogueException(IReadOnlyList<string> errors)
    : Exception(errors.Count == 1 ? errors[0] : $"The catalogue has {errors.Count} errors:\n  " + string.Join("\n  ", errors))
{
    public IReadOnlyList<string> Errors { get; } = errors;
}
