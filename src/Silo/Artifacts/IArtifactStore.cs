namespace Farm.Silo.Artifacts;

/// <summary>A stored artifact's address and size.</summary>
public readonly record struct StoredArtifact(string Sha256, long Size);

/// <summary>Contents by their digest. Writing is atomic: a content is there whole or not at all.</summary>
public interface IArtifactStore
{
    /// <summary>Takes a content in.</summary>
    /// <exception cref="ArtifactTooLargeException">It is larger than the store allows, or the store is full.</exception>
    Task<StoredArtifact> Put(Stream content, CancellationToken cancel = default);

    /// <summary>The content, or null. The caller disposes it.</summary>
    /// <param name="sha256">64 lower-case hex digits; anything else is not there.</param>
    Task<Stream?> Open(string sha256, CancellationToken cancel = default);

    /// <summary>Drops a content; true when it was there.</summary>
    Task<bool> Delete(string sha256, CancellationToken cancel = default);
}

/// <summary>An artifact goes beyond a bound of the store; the message says which.</summary>
public sealed class ArtifactTooLargeException(string message) : Exception(message);
