using Iced.Intel;

namespace Farm.Assist.Cpu;

/// <summary>Turns Iced's instruction into an <see cref="Op"/>.</summary>
internal static unsafe class OpBuilder
{
    private static readonly Register[] ByteRegisters =
    [
        Register.AL, Register.CL, Register.DL, Register.BL, Register.SPL, Register.BPL, Register.SIL, Register.DIL,
        Register.R8L, Register.R9L, Register.R10L, Register.R11L, Register.R12L, Register.R13L, Register.R14L, Register.R15L,
        Register.AH, Register.CH, Register.DH, Register.BH,
    ];

    private static readonly byte[] RegisterIndex = BuildRegisterIndex();
    private static readonly CodeTraits[] Traits = BuildTraits();

    /// <summary>What a code says about itself, looked up once.</summary>
    /// <param name="OperandSize">2, 4, 8; 0: by prefixes.</param>
    /// <param name="EndsBlock">Branches, traps, I/O, and what changes IF, TF, the mode or the mapping.</param>
    /// <param name="String">A REP prefix repeats it.</param>
    private readonly record struct CodeTraits(byte OperandSize, bool EndsBlock, bool String);

    /// <summary>Fills in all but <see cref="Op.Handler"/> and <see cref="Op.Next"/>.</summary>
    /// <param name="instruction">Decoded with IP = 0.</param>
    /// <param name="bytes">Its bytes, for the prefixes.</param>
    /// <param name="bits">Code size.</param>
    /// <param name="op">What to fill in.</param>
    public static void Build(in Instruction instruction, ReadOnlySpan<byte> bytes, int bits, Op* op)
    {
        CodeTraits traits = Traits[(int)instruction.Code];
        *op = default;
        op->Code = (ushort)instruction.Code;
        op->Length = (byte)instruction.Length;
        op->Base = op->Index = CpuState.ZeroSlot;
        (op->OperandSize, op->AddressSize) = Sizes(bytes, bits);
        if (traits.OperandSize != 0)
            op->OperandSize = traits.OperandSize;
        op->Segment = (Seg)(byte)(instruction.MemorySegment == Register.None ? 3 : instruction.MemorySegment - Register.ES);
        if (instruction.HasLockPrefix)
            op->Flags |= OpFlags.Lock;
        if (instruction.HasRepePrefix)
            op->Flags |= OpFlags.Repe;
        if (instruction.HasRepnePrefix)
            op->Flags |= OpFlags.Repne;
        for (int i = 0; i < instruction.OpCount; i++)
            Operand(instruction, i, op);
        op->AddressMask = op->AddressSize switch { 2 => 0xFFFF, 4 => 0xFFFFFFFF, _ => ulong.MaxValue };
        if (bytes.Length >= 2 && instruction.IsEscape())
            op->Imm2 = LastX87Opcode(bytes);
        if (traits.EndsBlock || (traits.String && (op->Flags & (OpFlags.Repe | OpFlags.Repne)) != 0) || LoadsStackSegment(instruction))
            op->Flags |= OpFlags.EndsBlock;
    }

    /// <summary>True when the instruction has a memory operand that its ModRM or moffs addresses (string operands are not).</summary>
    public static bool HasMemoryForm(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) == OpKind.Memory)
                return true;
        }
        return false;
    }

    private static bool IsEscape(this in Instruction instruction) =>
        instruction.Code.CpuidFeatures() is [CpuidFeature.FPU or CpuidFeature.FPU287 or CpuidFeature.FPU387, ..];

    /// <summary>The eleven bits that FSTENV stores as opcode: those of the escape byte and ModRM.</summary>
    private static ushort LastX87Opcode(ReadOnlySpan<byte> bytes)
    {
        int escape = 0;
        while (escape < bytes.Length - 2 && (bytes[escape] & 0xF8) != 0xD8)
            escape++;
        return (ushort)(((bytes[escape] & 7) << 8) | bytes[escape + 1]);
    }

    private static void Operand(in Instruction instruction, int index, Op* op)
    {
        OpKind kind = instruction.GetOpKind(index);
        switch (kind)
        {
            case OpKind.Register:
                byte register = RegisterIndex[(int)instruction.GetOpRegister(index)];
                if (index == 0)
                    op->Reg0 = register;
                else if (index == 1)
                    op->Reg1 = register;
                else if (index == 2)
                    op->Reg2 = register;
                break;
            case OpKind.NearBranch16:
                op->Imm = (short)(instruction.NearBranch16 - instruction.Length);
                break;
            case OpKind.NearBranch32:
                op->Imm = (int)(instruction.NearBranch32 - (uint)instruction.Length);
                break;
            case OpKind.NearBranch64:
                op->Imm = (long)instruction.NearBranch64 - instruction.Length;
                break;
            case OpKind.FarBranch16:
                op->Imm = instruction.FarBranch16;
                op->Imm2 = instruction.FarBranchSelector;
                break;
            case OpKind.FarBranch32:
                op->Imm = instruction.FarBranch32;
                op->Imm2 = instruction.FarBranchSelector;
                break;
            case OpKind.Immediate8_2nd:
                op->Imm2 = instruction.Immediate8_2nd;
                break;
            case OpKind.Memory:
                Address(instruction, op);
                Mark(index, op);
                break;
            case >= OpKind.MemorySegSI and <= OpKind.MemoryESRDI:
                Mark(index, op);
                break;
            default:
                op->Imm = (long)instruction.GetImmediate(index);
                break;
        }
    }

    private static void Mark(int operand, Op* op)
    {
        if (operand == 0)
            op->Flags |= OpFlags.Memory0;
        else if (operand == 1)
            op->Flags |= OpFlags.Memory1;
    }

    private static void Address(in Instruction instruction, Op* op)
    {
        op->Disp = (long)instruction.MemoryDisplacement64;
        Register basis = instruction.MemoryBase;
        if (basis is Register.RIP or Register.EIP)
        {
            // Iced adds the next instruction's IP; we do at run time.
            op->Base = CpuState.RipSlot;
            op->Disp -= instruction.Length;
        }
        else if (basis != Register.None)
        {
            op->Base = RegisterIndex[(int)basis];
        }

        // XLAT's index is AL, which no slot holds alone: its handler adds it.
        if (instruction.MemoryIndex is not (Register.None or Register.AL))
        {
            op->Index = RegisterIndex[(int)instruction.MemoryIndex];
            op->Scale = (byte)instruction.RawMemoryIndexScale();
        }
    }

    private static int RawMemoryIndexScale(this in Instruction instruction) => instruction.MemoryIndexScale switch { 2 => 1, 4 => 2, 8 => 3, _ => 0 };

    /// <summary>Operand and address size in bytes as the prefixes say (SDM vol. 2, 2.1.1, 2.2.1).</summary>
    private static (byte Operand, byte Address) Sizes(ReadOnlySpan<byte> bytes, int bits)
    {
        bool size66 = false, size67 = false, wide = false;
        foreach (byte value in bytes)
        {
            if (value == 0x66)
                size66 = true;
            else if (value == 0x67)
                size67 = true;
            else if (value is not (0x26 or 0x2E or 0x36 or 0x3E or 0x64 or 0x65 or 0xF0 or 0xF2 or 0xF3))
            {
                wide = bits == 64 && (value & 0xF8) == 0x48;
                break;
            }
        }
        byte operand = wide ? (byte)8 : (bits == 16) == size66 ? (byte)4 : (byte)2;
        byte address = bits == 64 ? (size67 ? (byte)4 : (byte)8) : (bits == 16) == size67 ? (byte)4 : (byte)2;
        return (operand, address);
    }

    private static bool LoadsStackSegment(in Instruction instruction) =>
        instruction.Code is Code.Mov_Sreg_rm16 or Code.Mov_Sreg_r32m16 or Code.Mov_Sreg_r64m16 && instruction.Op0Register == Register.SS;

    private static byte[] BuildRegisterIndex()
    {
        var index = new byte[Enum.GetValues<Register>().Length];
        void Range(Register first, int count)
        {
            for (int i = 0; i < count; i++)
                index[(int)first + i] = (byte)i;
        }

        for (int i = 0; i < ByteRegisters.Length; i++)
            index[(int)ByteRegisters[i]] = (byte)i;
        Range(Register.AX, 16);
        Range(Register.EAX, 16);
        Range(Register.RAX, 16);
        Range(Register.ES, 6);
        Range(Register.CR0, 16);
        Range(Register.DR0, 16);
        Range(Register.ST0, 8);
        Range(Register.MM0, 8);
        Range(Register.XMM0, 16);
        Range(Register.TR0, 8);
        return index;
    }

    private static CodeTraits[] BuildTraits()
    {
        Code[] codes = Enum.GetValues<Code>();
        var traits = new CodeTraits[codes.Length];
        foreach (Code code in codes)
        {
            OpCodeInfo info = code.ToOpCode();
            Mnemonic mnemonic = code.Mnemonic();
            bool isString = info.CanUseRepPrefix || info.CanUseRepnePrefix;
            bool ends = code.FlowControl() != FlowControl.Next || code == Code.INVALID || EndsBlock(code, mnemonic);
            traits[(int)code] = new CodeTraits((byte)(info.OperandSize / 8), ends, isString);
        }
        return traits;
    }

    private static bool EndsBlock(Code code, Mnemonic mnemonic) => mnemonic switch
    {
        Mnemonic.In or Mnemonic.Out or Mnemonic.Insb or Mnemonic.Insw or Mnemonic.Insd or Mnemonic.Outsb or Mnemonic.Outsw or Mnemonic.Outsd => true,
        Mnemonic.Hlt or Mnemonic.Mwait or Mnemonic.Sti or Mnemonic.Popf or Mnemonic.Popfd or Mnemonic.Popfq or Mnemonic.Lss => true,
        Mnemonic.Lmsw or Mnemonic.Clts or Mnemonic.Wrmsr or Mnemonic.Invlpg or Mnemonic.Invd or Mnemonic.Wbinvd => true,
        Mnemonic.Pop => code is Code.Popw_SS or Code.Popd_SS,
        Mnemonic.Mov => code is Code.Mov_cr_r32 or Code.Mov_cr_r64 or Code.Mov_dr_r32 or Code.Mov_dr_r64 or Code.Mov_tr_r32,
        _ => false,
    };
}
