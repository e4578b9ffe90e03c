using System.Runtime.CompilerServices;
using Iced.Intel;

namespace Farm.Assist.Monitor;

/// <summary>What the assist did; for the run's report.</summary>
public sealed class AssistStatistics
{
    private readonly long[] _traps = new long[Enum.GetValues<Mnemonic>().Length];

    /// <summary>Instructions that virtual-8086 mode refused and the host half dealt with.</summary>
    public long Traps { get; private set; }

    /// <summary>The same by mnemonic, lower case, most frequent first.</summary>
    public IReadOnlyList<KeyValuePair<string, long>> TrapsByMnemonic =>
        [.. _traps.Select((count, mnemonic) => KeyValuePair.Create(((Mnemonic)mnemonic).ToString().ToLowerInvariant(), count))
            .Where(entry => entry.Value != 0)
            .OrderByDescending(entry => entry.Value)
            .ThenBy(entry => entry.Key, StringComparer.Ordinal)];

    /// <summary>Events that the monitor left to the host half to reflect (moved vector table, stack that wraps).</summary>
    public long HostReflections { get; internal set; }

    /// <summary>Entries into virtual-8086 mode with a whole state, as opposed to returns from a trap.</summary>
    public long Vm86Entries { get; internal set; }

    /// <summary>Hand-overs of a protected-mode state to the processor.</summary>
    public long ToProtected { get; internal set; }

    /// <summary>Take-overs after CR0.PE was cleared.</summary>
    public long ToReal { get; internal set; }

    /// <summary>Take-overs of which real-mode code had run on the processor before (backends that cannot intercept CR0).</summary>
    public long LateToReal { get; internal set; }

    /// <summary>Instructions emulated for a backend that failed to.</summary>
    public long Emulated { get; internal set; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void CountTrap(Mnemonic mnemonic)
    {
        Traps++;
        _traps[(int)mnemonic]++;
    }
}
