namespace Farm.Machine.Tests.Hostile;

/// <summary>
/// Random accesses, DMA programs, PCI settings and command streams at a whole PC: no exception, no endless timer, bounded memory, and
/// a hard reset always brings the machine back.
/// </summary>
public sealed class WholeMachineFuzzTests
{
    private const long MostMemory = 1L << 30;

    [Fact]
    public void A_machine_survives_a_hostile_guest() => FuzzBudget.Run(8, random =>
    {
        using var machine = new FuzzMachine(random);
        int step = 0;
        try
        {
            for (int steps = random.Next(2000, 6000); step < steps; step++)
                machine.Step();
            machine.CheckReset();
        }
        catch (Exception e) when (e.GetType().Name != "SkipException")
        {
            throw new InvalidOperationException($"step {step}; last accesses:\n{machine.Log}", e);
        }
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: false), 0, MostMemory);
    });
}
