using System.Globalization;

namespace Farm.Machine.Tests.Hostile;

/// <summary>
/// How long a fuzz test runs and with which seeds. FARM_FUZZ_SECONDS makes every fuzz test run that long (hours by hand);
/// FARM_FUZZ_SEED begins with the seed that a failure printed.
/// </summary>
internal static class FuzzBudget
{
    /// <summary>Runs <paramref name="round"/> with one seed after the other until the time is up; a failure names its seed.</summary>
    /// <param name="seconds">Budget where the environment names none.</param>
    public static void Run(double seconds, Action<Random> round)
    {
        string? budget = Environment.GetEnvironmentVariable("FARM_FUZZ_SECONDS");
        if (double.TryParse(budget, CultureInfo.InvariantCulture, out double given))
            seconds = given;
        int seed = int.TryParse(Environment.GetEnvironmentVariable("FARM_FUZZ_SEED"), CultureInfo.InvariantCulture, out int start) ? start : Random.Shared.Next(int.MaxValue / 2);
        TestContext.Current.TestOutputHelper?.WriteLine($"first seed {seed}");
        long end = Environment.TickCount64 + (long)(seconds * 1000);
        int rounds = 0;
        do
        {
            try
            {
                round(new Random(seed));
            }
            catch (Exception e) when (e.GetType().Name != "SkipException")
            {
                Assert.Fail($"FARM_FUZZ_SEED={seed}: {e}");
            }
            seed++;
            rounds++;
        }
        while (Environment.TickCount64 < end);
        TestContext.Current.TestOutputHelper?.WriteLine($"{rounds} rounds");
    }
}
