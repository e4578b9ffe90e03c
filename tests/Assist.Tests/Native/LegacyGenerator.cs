using Iced.Intel;

namespace Farm.Assist.Tests.Native;

/// <summary>Builds random 32-bit or 16-bit instructions of a given <c>Code</c> with memory operands inside the data of <see cref="HostLegacyProcessor"/>.</summary>
internal sealed class LegacyGenerator(Random random, int bits)
{
    private static readonly Register[] _bytes = [Register.AL, Register.CL, Register.DL, Register.BL, Register.AH, Register.CH, Register.DH, Register.BH];

    // ModRM forms of 16-bit addressing (SDM vol. 2, table 2-1).
    private static readonly (Register Base, Register Index)[] _forms16 =
    [
        (Register.BX, Register.SI), (Register.BX, Register.DI), (Register.BP, Register.SI), (Register.BP, Register.DI),
        (Register.SI, Register.None), (Register.DI, Register.None), (Register.BP, Register.None), (Register.BX, Register.None),
    ];

    /// <summary>Only operands that <see cref="TryCreate"/> knows.</summary>
    public static bool CanMake(OpCodeInfo info) => Enumerable.Range(0, info.OpCount).All(operand => info.GetOpKind(operand) is
        OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.mem
        or OpCodeOperandKind.r8_reg or OpCodeOperandKind.r8_opcode or OpCodeOperandKind.r16_reg or OpCodeOperandKind.r16_opcode
        or OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_opcode or OpCodeOperandKind.al or OpCodeOperandKind.cl or OpCodeOperandKind.ax
        or OpCodeOperandKind.eax or OpCodeOperandKind.seg_rSI or OpCodeOperandKind.es_rDI or OpCodeOperandKind.seg_rBX_al or OpCodeOperandKind.mem_offs
        or OpCodeOperandKind.imm8 or OpCodeOperandKind.imm8_const_1 or OpCodeOperandKind.imm8sex16 or OpCodeOperandKind.imm8sex32
        or OpCodeOperandKind.imm16 or OpCodeOperandKind.imm32);

    public static bool HasMemoryForm(OpCodeInfo info) => Enumerable.Range(0, info.OpCount).Any(operand => info.GetOpKind(operand) is
        OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.mem);

    public static bool HasRegisterForm(OpCodeInfo info) => Enumerable.Range(0, info.OpCount).All(operand =>
        info.GetOpKind(operand) != OpCodeOperandKind.mem);

    /// <summary>An instruction with its encoding; false when the random choice cannot be encoded.</summary>
    public bool TryCreate(Code code, bool memoryForm, ulong ip, out Instruction instruction, out byte[] bytes)
    {
        instruction = default;
        instruction.Code = code;
        bytes = [];

        // 32-bit code cannot reach the block with 16-bit addresses.
        bool narrow = bits == 16 && random.Next(3) != 0;
        OpCodeInfo info = code.ToOpCode();
        for (int operand = 0; operand < info.OpCount; operand++)
            SetOperand(ref instruction, operand, info.GetOpKind(operand), memoryForm, narrow);
        if (instruction.IsStringInstruction && random.Next(2) == 0)
            (instruction.HasRepePrefix, instruction.HasRepnePrefix) = random.Next(2) == 0 ? (true, false) : (false, true);
        using var stream = new MemoryStream();
        var encoder = Encoder.Create(bits, new StreamCodeWriter(stream));
        if (!encoder.TryEncode(instruction, ip, out _, out _))
            return false;
        bytes = stream.ToArray();
        var decoder = Decoder.Create(bits, bytes, ip);
        decoder.Decode(out instruction);
        return instruction.Code == code;
    }

    /// <summary>Random values with a bias to the interesting ones.</summary>
    public uint NextValue() => random.Next(6) switch
    {
        0 => (uint)random.Next(-4, 5),
        1 => 1u << random.Next(32),
        2 => (1u << random.Next(32)) - 1,
        3 => ~0u << random.Next(32),
        _ => (uint)random.NextInt64(1L << 32),
    };

    private void SetOperand(ref Instruction instruction, int operand, OpCodeOperandKind kind, bool memoryForm, bool narrow)
    {
        switch (kind)
        {
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.mem when memoryForm || kind == OpCodeOperandKind.mem:
                SetMemory(ref instruction, operand, narrow);
                break;
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r8_reg or OpCodeOperandKind.r8_opcode:
                SetRegister(ref instruction, operand, _bytes[random.Next(_bytes.Length)]);
                break;
            case OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r16_reg or OpCodeOperandKind.r16_opcode:
                SetRegister(ref instruction, operand, Register.AX + Any());
                break;
            case OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_opcode:
                SetRegister(ref instruction, operand, Register.EAX + Any());
                break;
            case OpCodeOperandKind.al:
                SetRegister(ref instruction, operand, Register.AL);
                break;
            case OpCodeOperandKind.cl:
                SetRegister(ref instruction, operand, Register.CL);
                break;
            case OpCodeOperandKind.ax:
                SetRegister(ref instruction, operand, Register.AX);
                break;
            case OpCodeOperandKind.eax:
                SetRegister(ref instruction, operand, Register.EAX);
                break;
            case OpCodeOperandKind.seg_rSI:
                instruction.SetOpKind(operand, narrow ? OpKind.MemorySegSI : OpKind.MemorySegESI);
                break;
            case OpCodeOperandKind.es_rDI:
                instruction.SetOpKind(operand, narrow ? OpKind.MemoryESDI : OpKind.MemoryESEDI);
                break;
            case OpCodeOperandKind.seg_rBX_al:
                instruction.SetOpKind(operand, OpKind.Memory);
                instruction.MemoryBase = narrow ? Register.BX : Register.EBX;
                instruction.MemoryIndex = Register.AL;
                break;
            case OpCodeOperandKind.mem_offs:
                instruction.SetOpKind(operand, OpKind.Memory);
                instruction.MemoryDisplacement64 = (bits == 16 ? 0 : HostLegacyProcessor.Block) + HostLegacyProcessor.DataAt + (uint)random.Next(0x1000);
                instruction.MemoryDisplSize = narrow ? 2 : 4;
                break;
            case OpCodeOperandKind.imm8 when instruction.Mnemonic == Mnemonic.Enter:
                SetImmediate(ref instruction, operand, OpKind.Immediate8_2nd, (uint)random.Next(256));
                break;
            case OpCodeOperandKind.imm16 when instruction.Mnemonic == Mnemonic.Enter:
                SetImmediate(ref instruction, operand, OpKind.Immediate16, (uint)random.Next(0x400));
                break;
            case OpCodeOperandKind.imm8:
                SetImmediate(ref instruction, operand, OpKind.Immediate8, (uint)random.Next(256));
                break;
            case OpCodeOperandKind.imm8_const_1:
                SetImmediate(ref instruction, operand, OpKind.Immediate8, 1);
                break;
            case OpCodeOperandKind.imm8sex16:
                SetImmediate(ref instruction, operand, OpKind.Immediate8to16, (ulong)random.Next(-128, 128));
                break;
            case OpCodeOperandKind.imm8sex32:
                SetImmediate(ref instruction, operand, OpKind.Immediate8to32, (ulong)random.Next(-128, 128));
                break;
            case OpCodeOperandKind.imm16:
                SetImmediate(ref instruction, operand, OpKind.Immediate16, (ushort)NextValue());
                break;
            case OpCodeOperandKind.imm32:
                SetImmediate(ref instruction, operand, OpKind.Immediate32, NextValue());
                break;
            default:
                throw new NotSupportedException($"{instruction.Code}: operand {kind}.");
        }
    }

    private void SetMemory(ref Instruction instruction, int operand, bool narrow)
    {
        instruction.SetOpKind(operand, OpKind.Memory);
        int displacement = random.Next(-0x80, 0x80);
        if (narrow)
        {
            (instruction.MemoryBase, instruction.MemoryIndex) = _forms16[random.Next(_forms16.Length)];
            instruction.MemoryDisplacement64 = (ushort)displacement;
        }
        else
        {
            int basis = Any(), index = Any();
            instruction.MemoryBase = Register.EAX + basis;
            if (index != basis && random.Next(2) == 0)
            {
                instruction.MemoryIndex = Register.EAX + index;
                instruction.MemoryIndexScale = 1 << random.Next(4);
            }
            instruction.MemoryDisplacement64 = (uint)displacement;
        }
        instruction.MemoryDisplSize = 1;
    }

    private static void SetRegister(ref Instruction instruction, int operand, Register register)
    {
        instruction.SetOpKind(operand, OpKind.Register);
        instruction.SetOpRegister(operand, register);
    }

    private static void SetImmediate(ref Instruction instruction, int operand, OpKind kind, ulong value)
    {
        instruction.SetOpKind(operand, kind);
        instruction.SetImmediate(operand, value);
    }

    /// <summary>Not ESP: it addresses the stack.</summary>
    private int Any()
    {
        int number = random.Next(7);
        return number >= 4 ? number + 1 : number;
    }
}
