using Farm.Machine.Hypervisors;

namespace Farm.Cli.Tests;

public sealed class AutoBackendTests
{
    [Fact]
    public void Auto_goes_to_what_the_processor_virtualizes_then_to_soft_and_never_past_it()
    {
        int soft = Backends.All.Select((backend, place) => (backend.Name, place)).Single(item => item.Name == "soft").place;
        Assert.All(Backends.All.Take(soft), backend => Assert.True(backend.Accelerated, backend.Name));
        Assert.All(Backends.All.Skip(soft), backend => Assert.False(backend.Accelerated, backend.Name));
        var chosen = Backends.Choose("auto");
        Assert.True(chosen.Accelerated || chosen.Name == "soft", chosen.Name);
    }
}
