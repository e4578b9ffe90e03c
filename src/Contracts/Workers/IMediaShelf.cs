namespace Farm.Contracts.Workers;

/// <summary>The media that a silo hands to workers that lack them.</summary>
public interface IMediaShelf
{
    IReadOnlyList<HeldMedia> Held { get; }

    /// <summary>The file with this digest; null when it is not there (any more).</summary>
    Task<string?> Locate(string sha256, CancellationToken cancel = default);
}
