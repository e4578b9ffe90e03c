using Farm.Contracts.Workers;

namespace Farm.Silo.Hosting;

/// <summary>A silo that has no media to hand out.</summary>
internal sealed class EmptyShelf : IMediaShelf
{
    public IReadOnlyList<HeldMedia> Held => [];

    public Task<string?> Locate(string sha256, CancellationToken cancel = default) => Task.FromResult<string?>(null);
}
