using Farm.Machine.Hypervisors.Kvm;
using Farm.Machine.Hypervisors.Soft;
using Farm.Machine.Hypervisors.Whp;

namespace Farm.Machine.Hypervisors;

/// <summary>The backends of this build.</summary>
public static class Backends
{
    /// <summary>In the order in which <c>auto</c> prefers them: what the processor's own virtualization runs, soft, the rest.</summary>
    public static IReadOnlyList<IHypervisor> All { get; } = [.. ((IHypervisor[])[new SoftHypervisor(), new KvmHypervisor(), new WhpHypervisor()]).OrderByDescending(backend => backend.Accelerated)];

    /// <summary>The backend of that name; <c>auto</c> takes the first of <see cref="All"/> that works here.</summary>
    public static IHypervisor Choose(string name)
    {
        if (name == "auto")
            return All.First(backend => backend.Unavailable is null);
        var chosen = All.FirstOrDefault(backend => backend.Name == name)
            ?? throw new HostException($"This build has no backend '{name}'; it has {string.Join(", ", All.Select(backend => backend.Name))}.");
        return chosen.Unavailable is { } why ? throw new HostException(why) : chosen;
    }
}
