using Farm.Assist.Tests.Native;
using Iced.Intel;

namespace Farm.Assist.Tests.Fpu;

/// <summary>
/// Every MMX, SSE, SSE2 and SSE3 instruction against the host's processor, with random rounding, DAZ and FZ: registers, MXCSR,
/// flags and memory must agree bit for bit. Exceptions are masked: the host's would end the test.
/// </summary>
public sealed unsafe class SimdNativeTests(FpuNativeTests.Shared shared, ITestOutputHelper output) : IClassFixture<FpuNativeTests.Shared>
{
    private static readonly int _seed = Setting("FARM_SEED", Environment.TickCount);
    private static readonly int _rounds = Setting("FARM_ROUNDS", 200);

    private static readonly CpuidFeature[] _features = [CpuidFeature.MMX, CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.SSE3];

    /// <summary>Approximations, which have a test of their own; state and cache control, which have no result to compare.</summary>
    private static readonly HashSet<Mnemonic> _left =
    [
        Mnemonic.Rcpps, Mnemonic.Rcpss, Mnemonic.Rsqrtps, Mnemonic.Rsqrtss, Mnemonic.Ldmxcsr, Mnemonic.Clflush,
        Mnemonic.Prefetchnta, Mnemonic.Prefetcht0, Mnemonic.Prefetcht1, Mnemonic.Prefetcht2,
    ];

    public static TheoryData<string> Codes()
    {
        TheoryData<string> codes = [];
        foreach (Code code in Enum.GetValues<Code>())
        {
            OpCodeInfo info = code.ToOpCode();
            CpuidFeature[] features = code.CpuidFeatures();
            if (info.Encoding == EncodingKind.Legacy && info.Mode32 && features.Length == 1 && _features.Contains(features[0]) && !_left.Contains(info.Mnemonic))
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
        output.WriteLine($"FARM_SEED={_seed}");
        var random = new Random(unchecked((_seed * 31) + (int)code));
        FpuComparison comparison = shared.Comparison;
        comparison.Seed(random.Next());
        for (int round = 0; round < _rounds; round++)
        {
            byte[] bytes = Encode(code, random, memory: round % 2 == 0);
            FpuFrame frame = comparison.RandomFrame(unmasked: false, holes: true);
            FillVectors(random, comparison.Values, &frame);
            string? difference = comparison.Compare(bytes, frame);
            Assert.True(difference == null, $"FARM_SEED={_seed}, round {round}\n{difference}");
        }
    }

    [Theory]
    [InlineData(0x53)]
    [InlineData(0x52)]
    public void Approximation_is_good_to_twelve_bits(int opcode)
    {
        HostMemory.Require();
        output.WriteLine($"FARM_SEED={_seed}");
        using var machine = new TestMachine(Farm.Assist.Cpu.CpuModel.X64);
        machine.SetUpProtected();
        machine.State->Cr4 |= Farm.Assist.Cpu.ControlRegisters.Cr4OSFXSR;
        machine.Load(TestMachine.CodeAt, 0x0F, (byte)opcode, 0xC1);
        using var host = new HostFpu();
        var values = new FpuValues(new Random(_seed));
        for (int round = 0; round < 2000; round++)
        {
            FpuFrame frame = default;
            *(ushort*)frame.Image = 0x37F;
            *(uint*)(frame.Image + 24) = 0x1F80;
            for (int i = 0; i < 4; i++)
                ((uint*)machine.State->Xmm)[4 + i] = *(uint*)(frame.Image + 176 + (i * 4)) = values.Single();
            host.Execute([0x0F, (byte)opcode, 0xC1], ref frame);
            machine.State->Rip = TestMachine.CodeAt;
            machine.Cpu.StepOne();
            for (int i = 0; i < 4; i++)
            {
                float expected = *(float*)(frame.Image + 160 + (i * 4)), actual = ((float*)machine.State->Xmm)[i];
                bool same = BitConverter.SingleToInt32Bits(expected) == BitConverter.SingleToInt32Bits(actual);
                bool close = Math.Abs(actual - expected) <= Math.Abs(expected) * 3 / 4096 && float.IsNormal(expected);
                Assert.True(same || close, $"FARM_SEED={_seed}: of {((float*)machine.State->Xmm)[4 + i]:R} the host makes {expected:R}, we {actual:R}");
            }
        }
    }

    /// <summary>Random registers below 8, memory [EDX].</summary>
    private static byte[] Encode(Code code, Random random, bool memory)
    {
        OpCodeInfo info = code.ToOpCode();
        Instruction instruction = default;
        instruction.Code = code;
        for (int i = 0; i < info.OpCount; i++)
            SetOperand(ref instruction, i, info.GetOpKind(i), random, memory);
        var writer = new Writer();
        Encoder.Create(32, writer).Encode(instruction, 0);
        return [.. writer.Bytes];
    }

    private static void SetOperand(ref Instruction instruction, int operand, OpCodeOperandKind kind, Random random, bool memory)
    {
        switch (kind)
        {
            case OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm:
                instruction.SetOpRegister(operand, Register.XMM0 + random.Next(8));
                break;
            case OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_rm:
                instruction.SetOpRegister(operand, Register.MM0 + random.Next(8));
                break;
            case OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_rm:
                instruction.SetOpRegister(operand, Register.EAX + random.Next(2));
                break;
            case OpCodeOperandKind.xmm_or_mem when !memory:
                instruction.SetOpRegister(operand, Register.XMM0 + random.Next(8));
                break;
            case OpCodeOperandKind.mm_or_mem when !memory:
                instruction.SetOpRegister(operand, Register.MM0 + random.Next(8));
                break;
            case OpCodeOperandKind.r32_or_mem when !memory:
                instruction.SetOpRegister(operand, Register.EAX + random.Next(2));
                break;
            case OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.mm_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.mem:
                instruction.SetOpKind(operand, OpKind.Memory);
                instruction.MemoryBase = Register.EDX;
                break;
            case OpCodeOperandKind.imm8:
                instruction.SetOpKind(operand, OpKind.Immediate8);
                instruction.SetImmediate(operand, (ulong)(random.Next(2) == 0 ? random.Next(256) : random.Next(20)));
                break;
            case OpCodeOperandKind.seg_rDI:
                instruction.SetOpKind(operand, OpKind.MemorySegEDI);
                break;
            default:
                throw new NotSupportedException($"{instruction.Code}: operand {kind}.");
        }
    }

    private static void FillVectors(Random random, FpuValues values, FpuFrame* frame)
    {
        *(uint*)(frame->Image + 24) = 0x1F80 | ((uint)random.Next(4) << 13) | ((uint)random.Next(2) << 6) | ((uint)random.Next(2) << 15)
            | (random.Next(2) == 0 ? (uint)random.Next(64) : 0x20u);
        if (random.Next(3) == 0)
            *(uint*)(frame->Image + 24) = 0x1FA0;
        byte* areas = frame->Image + 160;
        for (int i = 0; i < 18; i++)
        {
            byte* at = i < 16 ? areas + (i * 8) : frame->Data + ((i - 16) * 8);
            switch (random.Next(4))
            {
                case 0:
                    *(ulong*)at = values.Bits();
                    break;
                case 1:
                    *(ulong*)at = values.Double();
                    break;
                case 2:
                    *(ulong*)at = (ulong)random.Next(-100, 100);
                    break;
                default:
                    *(uint*)at = values.Single();
                    *(uint*)(at + 4) = values.Single();
                    break;
            }
        }
        if (random.Next(2) == 0)
        {
            for (int i = 0; i < 8; i++)
                *(ulong*)(frame->Image + 32 + (i * 16)) = random.Next(3) == 0 ? (ulong)random.Next(80) : values.Bits();
        }
    }

    private static int Setting(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), out int value) ? value : otherwise;

    private sealed class Writer : CodeWriter
    {
        public List<byte> Bytes { get; } = [];

        public override void WriteByte(byte value) => Bytes.Add(value);
    }
}
