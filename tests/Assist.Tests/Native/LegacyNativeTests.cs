using Iced.Intel;

namespace Farm.Assist.Tests.Native;

/// <summary>
/// Random instructions of 32-bit and 16-bit code on the host's processor and on ours: what 64-bit code has not (BCD, PUSHA, the short
/// forms of INC and DEC, BOUND, ARPL, 16-bit addressing), the stack, branches, and everything else again in these sizes. FARM_SEED
/// repeats a run, FARM_ROUNDS sets how many instructions per encoding.
/// </summary>
[Collection("host's legacy modes")]
public sealed class LegacyNativeTests(ITestOutputHelper output)
{
    private static readonly int _seed = Setting("FARM_SEED", Environment.TickCount);
    private static readonly int _rounds = Setting("FARM_ROUNDS", 20);

    private static readonly HashSet<Mnemonic> _legacy =
    [
        Mnemonic.Aaa, Mnemonic.Aas, Mnemonic.Aam, Mnemonic.Aad, Mnemonic.Daa, Mnemonic.Das, Mnemonic.Salc, Mnemonic.Bound, Mnemonic.Into, Mnemonic.Arpl,
        Mnemonic.Pusha, Mnemonic.Pushad, Mnemonic.Popa, Mnemonic.Popad, Mnemonic.Push, Mnemonic.Pop, Mnemonic.Enter, Mnemonic.Leave,
    ];

    /// <summary>Branches over or not over an INC, and calls that come back, as bytes that mean the same in 32-bit and 16-bit code.</summary>
    private static readonly string[] _sequences =
    [
        "E20140", "E10140", "E00140", "E30140", "67E20140", "67E10140", "67E00140", "67E30140", // LOOP, LOOPE, LOOPNE, JCXZ
        "700140710141", "720140730141", "740140750141", "760140770141", "780140790141", "7A01407B0141", "7C01407D0141", "7E01407F0141", // Jcc
        "EB0140", // JMP
    ];

    public static TheoryData<int, string> Codes()
    {
        TheoryData<int, string> codes = [];
        foreach (Code code in Enum.GetValues<Code>())
        {
            OpCodeInfo info = code.ToOpCode();
            if (info.Encoding != EncodingKind.Legacy || !(_legacy.Contains(info.Mnemonic) || NativeTests.Compares(info)) || !LegacyGenerator.CanMake(info))
                continue;

            // BSWAP of 16 bits is undefined; CMPXCHG486 is the first 486's.
            if (code is Code.Bswap_r16 || Array.IndexOf(code.CpuidFeatures(), CpuidFeature.INTEL486_A_ONLY) >= 0)
                continue;
            if (info.Mode32)
                codes.Add(32, code.ToString());
            if (info.Mode16)
                codes.Add(16, code.ToString());
        }
        return codes;
    }

    [Theory]
    [MemberData(nameof(Codes))]
    public void Instruction_does_what_the_host_does(int bits, string name)
    {
        using var comparison = Open(bits);
        Code code = Enum.Parse<Code>(name);
        comparison.Seed(unchecked((_seed * 31) + (int)code + bits));
        OpCodeInfo info = code.ToOpCode();
        bool memory = LegacyGenerator.HasMemoryForm(info), register = LegacyGenerator.HasRegisterForm(info);
        for (int round = 0; round < _rounds; round++)
        {
            string? difference = comparison.Round(code, memory && (!register || round % 2 == 1));
            Assert.True(difference == null, $"FARM_SEED={_seed}\n{difference}");
        }

        // Random values are outside BOUND's bounds more often than not.
        Assert.True(comparison.Compared > 0 || info.Mnemonic == Mnemonic.Bound, "Every instruction faulted: nothing was compared.");
    }

    [Theory]
    [InlineData(32)]
    [InlineData(16)]
    public void Branches_go_where_the_host_goes(int bits)
    {
        using var comparison = Open(bits);
        comparison.Seed(_seed);
        foreach (string sequence in _sequences)
        {
            for (int round = 0; round < _rounds * 4; round++)
            {
                string? difference = comparison.Sequence(Convert.FromHexString(sequence));
                Assert.True(difference == null, $"FARM_SEED={_seed}\n{difference}");
            }
        }
    }

    private LegacyComparison Open(int bits)
    {
        HostMemory.Require();
        output.WriteLine($"FARM_SEED={_seed}");
        try
        {
            return new LegacyComparison(bits);
        }
        catch (PlatformNotSupportedException e)
        {
            Assert.Skip(e.Message);
            throw;
        }
    }

    private static int Setting(string name, int fallback) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), out int value) ? value : fallback;
}
