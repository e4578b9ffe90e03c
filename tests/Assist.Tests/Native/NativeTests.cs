using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Tests.Native;

/// <summary>
/// The same random instruction on the host's processor and on ours: registers, memory and every flag that the manual defines must
/// agree. FARM_SEED repeats a run, FARM_ROUNDS sets how many instructions per encoding.
/// </summary>
public sealed class NativeTests(NativeTests.Lazy lazy, ITestOutputHelper output) : IClassFixture<NativeTests.Lazy>
{
    private static readonly int _seed = Setting("FARM_SEED", Environment.TickCount);
    private static readonly int _rounds = Setting("FARM_ROUNDS", 100);

    private static readonly HashSet<Mnemonic> _mnemonics =
    [
        Mnemonic.Add, Mnemonic.Or, Mnemonic.Adc, Mnemonic.Sbb, Mnemonic.And, Mnemonic.Sub, Mnemonic.Xor, Mnemonic.Cmp, Mnemonic.Test,
        Mnemonic.Inc, Mnemonic.Dec, Mnemonic.Neg, Mnemonic.Not,
        Mnemonic.Mov, Mnemonic.Movzx, Mnemonic.Movsx, Mnemonic.Movsxd, Mnemonic.Movnti, Mnemonic.Xchg, Mnemonic.Lea, Mnemonic.Bswap, Mnemonic.Xlatb,
        Mnemonic.Cbw, Mnemonic.Cwde, Mnemonic.Cdqe, Mnemonic.Cwd, Mnemonic.Cdq, Mnemonic.Cqo,
        Mnemonic.Rol, Mnemonic.Ror, Mnemonic.Rcl, Mnemonic.Rcr, Mnemonic.Shl, Mnemonic.Shr, Mnemonic.Sal, Mnemonic.Sar, Mnemonic.Shld, Mnemonic.Shrd,
        Mnemonic.Mul, Mnemonic.Imul, Mnemonic.Div, Mnemonic.Idiv,
        Mnemonic.Bt, Mnemonic.Bts, Mnemonic.Btr, Mnemonic.Btc, Mnemonic.Bsf, Mnemonic.Bsr, Mnemonic.Popcnt,
        Mnemonic.Xadd, Mnemonic.Cmpxchg, Mnemonic.Cmpxchg8b, Mnemonic.Cmpxchg16b,
        Mnemonic.Lahf, Mnemonic.Sahf, Mnemonic.Clc, Mnemonic.Stc, Mnemonic.Cmc, Mnemonic.Nop,
        Mnemonic.Seto, Mnemonic.Setno, Mnemonic.Setb, Mnemonic.Setae, Mnemonic.Sete, Mnemonic.Setne, Mnemonic.Setbe, Mnemonic.Seta,
        Mnemonic.Sets, Mnemonic.Setns, Mnemonic.Setp, Mnemonic.Setnp, Mnemonic.Setl, Mnemonic.Setge, Mnemonic.Setle, Mnemonic.Setg,
        Mnemonic.Cmovo, Mnemonic.Cmovno, Mnemonic.Cmovb, Mnemonic.Cmovae, Mnemonic.Cmove, Mnemonic.Cmovne, Mnemonic.Cmovbe, Mnemonic.Cmova,
        Mnemonic.Cmovs, Mnemonic.Cmovns, Mnemonic.Cmovp, Mnemonic.Cmovnp, Mnemonic.Cmovl, Mnemonic.Cmovge, Mnemonic.Cmovle, Mnemonic.Cmovg,
        Mnemonic.Movsb, Mnemonic.Movsw, Mnemonic.Movsd, Mnemonic.Movsq, Mnemonic.Stosb, Mnemonic.Stosw, Mnemonic.Stosd, Mnemonic.Stosq,
        Mnemonic.Lodsb, Mnemonic.Lodsw, Mnemonic.Lodsd, Mnemonic.Lodsq, Mnemonic.Scasb, Mnemonic.Scasw, Mnemonic.Scasd, Mnemonic.Scasq,
        Mnemonic.Cmpsb, Mnemonic.Cmpsw, Mnemonic.Cmpsd, Mnemonic.Cmpsq,
    ];

    /// <summary>Every 64-bit-mode encoding of those mnemonics, but segment, control and debug register moves and x87/SSE namesakes.</summary>
    public static TheoryData<string> Codes()
    {
        TheoryData<string> codes = [];
        foreach (Code code in Enum.GetValues<Code>())
        {
            OpCodeInfo info = code.ToOpCode();
            if (info.Encoding == EncodingKind.Legacy && info.Mode64 && Compares(info))
                codes.Add(code.ToString());
        }
        return codes;
    }

    [Theory]
    [MemberData(nameof(Codes))]
    public void Instruction_does_what_the_host_does(string name)
    {
        HostMemory.Require();
        Code code = Enum.Parse<Code>(name);
        int seed = unchecked((_seed * 31) + (int)code);
        output.WriteLine($"FARM_SEED={_seed}");
        NativeComparison comparison = lazy.Comparison;
        comparison.Seed(seed);
        bool memory = HasMemoryForm(code.ToOpCode()), register = HasRegisterForm(code.ToOpCode());
        for (int round = 0; round < _rounds; round++)
        {
            string? difference = comparison.Round(code, memory && (!register || round % 2 == 1));
            Assert.True(difference == null, $"FARM_SEED={_seed}\n{difference}");
        }
    }

    /// <summary>An encoding of those mnemonics, but segment, control and debug register moves and x87/SSE namesakes.</summary>
    internal static bool Compares(OpCodeInfo info) => _mnemonics.Contains(info.Mnemonic) && IsGeneral(info);

    private static bool IsGeneral(OpCodeInfo info)
    {
        for (int operand = 0; operand < info.OpCount; operand++)
        {
            string kind = info.GetOpKind(operand).ToString();
            if (kind.StartsWith("xmm", StringComparison.Ordinal) || kind.StartsWith("seg", StringComparison.Ordinal)
                || kind.StartsWith("cr_", StringComparison.Ordinal) || kind.StartsWith("dr_", StringComparison.Ordinal)
                || kind.StartsWith("tr_", StringComparison.Ordinal) || kind.Contains("offs", StringComparison.Ordinal))
                return false;
        }
        return true;
    }

    private static bool HasMemoryForm(OpCodeInfo info) => Enumerable.Range(0, info.OpCount).Any(operand =>
        info.GetOpKind(operand) is OpCodeOperandKind.mem or OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem
            or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_or_mem);

    private static bool HasRegisterForm(OpCodeInfo info) => Enumerable.Range(0, info.OpCount).All(operand =>
        info.GetOpKind(operand) != OpCodeOperandKind.mem);

    private static int Setting(string name, int fallback) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), out int value) ? value : fallback;

    /// <summary>Both processors, made when the first test needs them.</summary>
    public sealed class Lazy : IDisposable
    {
        private NativeComparison? _comparison;

        internal NativeComparison Comparison => _comparison ??= new();

        public void Dispose() => _comparison?.Dispose();
    }
}
