namespace Farm.Worker;

/// <summary>Where the farm's HTTP API is: as the silo says with each beat, unless somebody knows better.</summary>
/// <param name="known">Goes before what the silo says; null where nothing is known.</param>
public sealed class ApiEndpoint(Func<Uri?>? known = null)
{
    private volatile Uri? _told;

    /// <summary>The API's root; null until it is known.</summary>
    public Uri? Address => known?.Invoke() ?? _told;

    public void Tell(string? url)
    {
        if (Uri.TryCreate(url, UriKind.Absolute, out var address))
            _told = address;
    }
}
