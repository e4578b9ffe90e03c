namespace Farm.Bench;

/// <summary>One line of the table.</summary>
/// <param name="Instructions">How many a loop has; null for a boot.</param>
internal sealed record Row(string Name, Func<Emulator, Measurement> Measure, long? Instructions)
{
    /// <summary>By emulator; of several the one with the least processor time, which a busy host disturbed least.</summary>
    public Dictionary<string, Measurement> Results { get; } = [];

    public void Add(string emulator, Measurement result)
    {
        if (!Results.TryGetValue(emulator, out var best) || result.Cpu < (best.Cpu ?? double.PositiveInfinity))
            Results[emulator] = result;
    }

    /// <summary>
    /// Millions of guest instructions per second of processor time. An emulator that counts none is given the count of another that ran
    /// the same boot, preferably without the assist's monitor; <paramref name="borrowed"/> says so.
    /// </summary>
    public double? Mips(string emulator, out bool borrowed)
    {
        borrowed = false;
        if (Results[emulator] is not { Cpu: { } cpu } own)
            return null;
        long? count = Instructions ?? own.Instructions;
        if (count is null)
        {
            borrowed = true;
            count = Results.GetValueOrDefault("farm native")?.Instructions ?? Results.GetValueOrDefault("farm")?.Instructions;
        }
        return count / Math.Max(cpu, 1e-4) / 1e6;
    }
}
