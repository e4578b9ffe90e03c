using Iced.Intel;

namespace Farm.Assist.Tests.Native;

/// <summary>
/// Builds random 64-bit instructions of a given <c>Code</c>: registers other than RSP, memory operands inside the data pages, with
/// addresses of 64 and of 32 bits, random immediates; and registers to go with them.
/// </summary>
internal sealed class InstructionGenerator(Random random)
{
    private static readonly Register[] _bytes =
    [
        Register.AL, Register.CL, Register.DL, Register.BL, Register.AH, Register.CH, Register.DH, Register.BH, Register.BPL, Register.SIL,
        Register.DIL, Register.R8L, Register.R9L, Register.R10L, Register.R11L, Register.R12L, Register.R13L, Register.R14L, Register.R15L,
    ];

    /// <summary>An instruction with its encoding. False when the random choice cannot be encoded (AH with REX): try again.</summary>
    public bool TryCreate(Code code, bool memoryForm, out Instruction instruction, out byte[] bytes)
    {
        instruction = default;
        instruction.Code = code;
        bytes = [];
        OpCodeInfo info = code.ToOpCode();
        for (int operand = 0; operand < info.OpCount; operand++)
        {
            if (!SetOperand(ref instruction, operand, info.GetOpKind(operand), memoryForm))
                return false;
        }
        CodeWriterImpl writer = new();
        Encoder encoder = Encoder.Create(64, writer);
        if (!encoder.TryEncode(instruction, 0x1000, out _, out _))
            return false;
        bytes = writer.ToArray();

        // What counts is what the bytes mean.
        Decoder decoder = Decoder.Create(64, bytes);
        decoder.IP = 0x1000;
        decoder.Decode(out instruction);
        return instruction.Code == code;
    }

    /// <summary>Random values with a bias to the interesting ones.</summary>
    public ulong NextValue() => random.Next(6) switch
    {
        0 => (ulong)random.Next(-4, 5),
        1 => 1ul << random.Next(64),
        2 => (1ul << random.Next(64)) - 1,
        3 => ~0ul << random.Next(64),
        _ => (ulong)random.NextInt64(long.MinValue, long.MaxValue),
    };

    private bool SetOperand(ref Instruction instruction, int operand, OpCodeOperandKind kind, bool memoryForm)
    {
        switch (kind)
        {
            case OpCodeOperandKind.r8_or_mem:
                return RegisterOrMemory(ref instruction, operand, AnyByte(), memoryForm);
            case OpCodeOperandKind.r16_or_mem:
                return RegisterOrMemory(ref instruction, operand, Any(Register.AX), memoryForm);
            case OpCodeOperandKind.r32_or_mem:
                return RegisterOrMemory(ref instruction, operand, Any(Register.EAX), memoryForm);
            case OpCodeOperandKind.r64_or_mem:
                return RegisterOrMemory(ref instruction, operand, Any(Register.RAX), memoryForm);
            case OpCodeOperandKind.mem:
                return memoryForm && RegisterOrMemory(ref instruction, operand, Register.None, true);
            case OpCodeOperandKind.seg_rSI:
                return SetString(ref instruction, operand, OpKind.MemorySegRSI, OpKind.MemorySegESI);
            case OpCodeOperandKind.es_rDI:
                return SetString(ref instruction, operand, OpKind.MemoryESRDI, OpKind.MemoryESEDI);
            case OpCodeOperandKind.seg_rBX_al:
                instruction.SetOpKind(operand, OpKind.Memory);
                instruction.MemoryBase = Register.RBX;
                instruction.MemoryIndex = Register.AL;
                return true;
            case OpCodeOperandKind.r8_reg or OpCodeOperandKind.r8_opcode:
                return SetRegister(ref instruction, operand, AnyByte());
            case OpCodeOperandKind.r16_reg or OpCodeOperandKind.r16_opcode:
                return SetRegister(ref instruction, operand, Any(Register.AX));
            case OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_opcode:
                return SetRegister(ref instruction, operand, Any(Register.EAX));
            case OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_opcode:
                return SetRegister(ref instruction, operand, Any(Register.RAX));
            case OpCodeOperandKind.al:
                return SetRegister(ref instruction, operand, Register.AL);
            case OpCodeOperandKind.cl:
                return SetRegister(ref instruction, operand, Register.CL);
            case OpCodeOperandKind.ax:
                return SetRegister(ref instruction, operand, Register.AX);
            case OpCodeOperandKind.eax:
                return SetRegister(ref instruction, operand, Register.EAX);
            case OpCodeOperandKind.rax:
                return SetRegister(ref instruction, operand, Register.RAX);
            case OpCodeOperandKind.imm8:
                return Immediate(ref instruction, operand, OpKind.Immediate8, (byte)random.Next(256));
            case OpCodeOperandKind.imm8_const_1:
                return Immediate(ref instruction, operand, OpKind.Immediate8, 1);
            case OpCodeOperandKind.imm8sex16:
                return Immediate(ref instruction, operand, OpKind.Immediate8to16, (ulong)random.Next(-128, 128));
            case OpCodeOperandKind.imm8sex32:
                return Immediate(ref instruction, operand, OpKind.Immediate8to32, (ulong)random.Next(-128, 128));
            case OpCodeOperandKind.imm8sex64:
                return Immediate(ref instruction, operand, OpKind.Immediate8to64, (ulong)random.Next(-128, 128));
            case OpCodeOperandKind.imm16:
                return Immediate(ref instruction, operand, OpKind.Immediate16, (ushort)NextValue());
            case OpCodeOperandKind.imm32:
                return Immediate(ref instruction, operand, OpKind.Immediate32, (uint)NextValue());
            case OpCodeOperandKind.imm32sex64:
                return Immediate(ref instruction, operand, OpKind.Immediate32to64, (ulong)(int)NextValue());
            case OpCodeOperandKind.imm64:
                return Immediate(ref instruction, operand, OpKind.Immediate64, NextValue());
            default:
                throw new NotSupportedException($"{instruction.Code}: operand {kind}.");
        }
    }

    private bool RegisterOrMemory(ref Instruction instruction, int operand, Register register, bool memoryForm)
    {
        if (!memoryForm)
            return SetRegister(ref instruction, operand, register);
        instruction.SetOpKind(operand, OpKind.Memory);
        Register first = random.Next(4) == 0 ? Register.EAX : Register.RAX;
        instruction.MemoryBase = Any(first);
        instruction.MemoryIndex = random.Next(2) == 0 ? Register.None : Any(first);
        instruction.MemoryIndexScale = instruction.MemoryIndex == Register.None ? 1 : 1 << random.Next(4);
        int displacement = random.Next(-0x80, 0x80);
        instruction.MemoryDisplacement64 = first == Register.EAX ? (uint)displacement : (ulong)displacement;
        instruction.MemoryDisplSize = 1;
        return instruction.MemoryIndex != instruction.MemoryBase;
    }

    private bool SetString(ref Instruction instruction, int operand, OpKind kind64, OpKind kind32)
    {
        // MOVS and CMPS have one address size for both.
        bool narrow = operand == 1 && instruction.Op0Kind is OpKind.MemoryESEDI or OpKind.MemorySegESI;
        narrow |= operand == 0 && random.Next(4) == 0;
        instruction.SetOpKind(operand, narrow ? kind32 : kind64);
        instruction.HasRepePrefix = random.Next(2) == 0;
        instruction.HasRepnePrefix = !instruction.HasRepePrefix && random.Next(2) == 0;
        return true;
    }

    private static bool SetRegister(ref Instruction instruction, int operand, Register register)
    {
        instruction.SetOpKind(operand, OpKind.Register);
        instruction.SetOpRegister(operand, register);
        return true;
    }

    private static bool Immediate(ref Instruction instruction, int operand, OpKind kind, ulong value)
    {
        instruction.SetOpKind(operand, kind);
        instruction.SetImmediate(operand, value);
        return true;
    }

    private Register AnyByte() => _bytes[random.Next(_bytes.Length)];

    // RSP holds the host's stack.
    private Register Any(Register first)
    {
        int number;
        do
            number = random.Next(16);
        while (number == 4);
        return first + number;
    }

    private sealed class CodeWriterImpl : CodeWriter
    {
        private readonly List<byte> _bytes = [];

        public override void WriteByte(byte value) => _bytes.Add(value);

        public byte[] ToArray() => [.. _bytes];
    }
}
