using Farm.Contracts.Api;
using Farm.Contracts.Jobs;

namespace Farm.Worker.Leases;

/// <summary>Takes artifacts off a worker's hands.</summary>
public interface IArtifactSink
{
    /// <summary>Null when there is nowhere to put it.</summary>
    Task<ArtifactInfo?> Upload(string name, string path, string contentType, CancellationToken cancel = default);
}

/// <summary>Uploads to the farm's HTTP API.</summary>
public sealed class HttpArtifactSink(ApiEndpoint api) : IArtifactSink, IDisposable
{
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromMinutes(5) };

    public async Task<ArtifactInfo?> Upload(string name, string path, string contentType, CancellationToken cancel = default)
    {
        if (api.Address is not { } address)
            return null;
        await using var content = File.OpenRead(path);
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(address, FarmRoutes.Artifacts + "?name=" + Uri.EscapeDataString(name)));
        request.Content = new StreamContent(content);
        request.Content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        using var response = await _http.SendAsync(request, cancel);
        response.EnsureSuccessStatusCode();
        return System.Text.Json.JsonSerializer.Deserialize<ArtifactInfo>(await response.Content.ReadAsStreamAsync(cancel), FarmJson.Options);
    }

    public void Dispose() => _http.Dispose();
}
