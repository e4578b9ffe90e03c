namespace Farm.Silo.Tests.Service;

/// <summary>For what another process or a one-way message brings about: looks until it is there, for a bounded time.</summary>
public static class Wait
{
    public static async Task Until(Func<Task<bool>> condition, int seconds = 120)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        while (!await condition())
        {
            Assert.False(limit.IsCancellationRequested, $"Not so within {seconds} s.");
            await Task.Delay(20, CancellationToken.None);
        }
    }
}
