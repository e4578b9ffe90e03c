using Farm.Assist.Cpu;
using Farm.Assist.Instructions;
using Iced.Intel;

namespace Farm.Assist.Tests.Instructions;

/// <summary>
/// Every instruction with a memory operand or a use of the stack meets a page fault at each place where its accesses can cross into
/// a missing page: registers, flags, floating-point state and memory stay as they were, and it can be restarted (SDM vol. 3, 6.5 and 6.6).
/// </summary>
public sealed unsafe class RestartTests
{
    private const uint Present = 0x50000, Missing = 0x51000, Next = 0x52000;

    /// <summary>Distances of an operand's beginning from the missing page.</summary>
    private static readonly int[] _distances = [-0x100, -32, -17, -16, -15, -12, -10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 4, 6, 8, 12, 16, 28, 32, 36, 64, 0x80];

    /// <summary>They name memory and do not access it.</summary>
    private static readonly HashSet<Mnemonic> _untouching =
    [
        Mnemonic.Lea, Mnemonic.Nop, Mnemonic.Reservednop, Mnemonic.Invlpg, Mnemonic.Ud0, Mnemonic.Ud1,
        Mnemonic.Prefetchnta, Mnemonic.Prefetcht0, Mnemonic.Prefetcht1, Mnemonic.Prefetcht2,
    ];

    public static TheoryData<string> Codes()
    {
        TheoryData<string> codes = [];
        foreach (Code code in Enum.GetValues<Code>())
        {
            OpCodeInfo info = code.ToOpCode();
            if (info.Encoding == EncodingKind.Legacy && info.Mode32 && InstructionTable.Has(code) && CpuModel.X64.Knows(code) && (TryEncode(code) is not null))
                codes.Add(code.ToString());
        }
        return codes;
    }

    [Theory]
    [MemberData(nameof(Codes))]
    public void A_page_fault_leaves_everything_as_it_was(string name)
    {
        byte[] bytes = TryEncode(Enum.Parse<Code>(name))!;
        using var machine = Build();
        machine.Load(TestMachine.CodeAt, bytes);
        CpuState clean = *machine.State;
        bool faulted = false;
        foreach (int distance in _distances)
        {
            // The operand or the stack at the edge, upwards into the missing page or downwards from behind it.
            foreach (uint edge in new[] { Missing, Next })
            {
                faulted |= Faults(machine, clean, operand: edge + (uint)distance, stack: (uint)TestMachine.StackTop);
                faulted |= Faults(machine, clean, operand: Present + 0x800, stack: edge + (uint)distance);
            }
        }
        Code code = Enum.Parse<Code>(name);
        Assert.True(faulted || !UsesMemory(code), "No access met the missing page: nothing was tested.");
    }

    /// <summary>True when it met a page fault, and left everything as it was.</summary>
    private static bool Faults(TestMachine machine, in CpuState clean, uint operand, uint stack)
    {
        *machine.State = clean;
        CpuState* state = machine.State;
        state->Gpr[2] = state->Gpr[3] = state->Gpr[6] = state->Gpr[7] = operand;
        state->Gpr[0] = 0x12345600;
        state->Gpr[1] = 3;
        state->Gpr[4] = state->Gpr[5] = stack;
        var page = machine.Ram.Slice((int)Present, 0x1000);
        var behind = machine.Ram.Slice((int)Next, 0x1000);
        for (int i = 0; i < 0x1000; i++)
            page[i] = behind[i] = (byte)(0x10 + (i & 3));
        CpuState before = *state;
        ulong faults = machine.Cpu.FaultCount;
        machine.Cpu.StepOne();
        if (machine.Cpu.FaultCount == faults || machine.Cpu.LastFault.Vector != Vectors.PF)
            return false;

        // No gate takes the fault: the processor stops with what it had.
        string where = $"operand {operand:X}h, stack {stack:X}h";
        Assert.True(state->Activity == Activity.Shutdown, where);
        CpuState after = *state;
        (after.Activity, after.Cr2, after.LazyResult, after.LazyCarries) = (before.Activity, before.Cr2, before.LazyResult, before.LazyCarries);
        Assert.True(Same(before, after), $"{where}: {Difference(before, after)}");
        for (int i = 0; i < 0x1000; i++)
            Assert.True(page[i] == 0x10 + (i & 3) && behind[i] == 0x10 + (i & 3), $"{where}: memory changed at {i:X3}h");
        return true;
    }

    private static bool UsesMemory(Code code) => Enumerable.Range(0, code.ToOpCode().OpCount).Any(operand =>
        code.ToOpCode().GetOpKind(operand).ToString() is "mem" or "mem_offs" or "seg_rSI" or "es_rDI" || code.ToOpCode().GetOpKind(operand).ToString().EndsWith("or_mem", StringComparison.Ordinal))
        && !_untouching.Contains(code.Mnemonic());

    private static bool Same(CpuState a, CpuState b) =>
        new ReadOnlySpan<byte>(&a, sizeof(CpuState)).SequenceEqual(new ReadOnlySpan<byte>(&b, sizeof(CpuState)));

    private static string Difference(CpuState a, CpuState b)
    {
        int at = new ReadOnlySpan<byte>(&a, sizeof(CpuState)).CommonPrefixLength(new ReadOnlySpan<byte>(&b, sizeof(CpuState)));
        return $"the state changed at byte {at} (flags {a.Rflags:X} to {b.Rflags:X}, ESP {a.Gpr[4]:X} to {b.Gpr[4]:X})";
    }

    private static TestMachine Build()
    {
        var machine = new TestMachine(CpuModel.X64, size: 4 << 20);
        machine.SetUpProtected();
        machine.State->Cr4 |= ControlRegisters.Cr4OSFXSR | ControlRegisters.Cr4OSXMMEXCPT;
        machine.EnablePaging(256);
        machine.MapPage(Missing, Missing, 0);
        machine.Cpu.FlushTlb();
        machine.State->Idtr.Limit = 0;

        // A full x87 stack, so that stores and arithmetic have operands.
        machine.State->FpuTag = 0;
        for (int i = 0; i < 8; i++)
            (machine.State->Fpr[i * 2], machine.State->Fpr[(i * 2) + 1]) = (0x8000000000000000, 0x3FFF);
        return machine;
    }

    /// <summary>The instruction with memory operands at [EDX]; null when its operands are not to be had this way.</summary>
    private static byte[]? TryEncode(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        Instruction instruction = default;
        instruction.Code = code;
        for (int operand = 0; operand < info.OpCount; operand++)
        {
            if (!SetOperand(ref instruction, operand, info.GetOpKind(operand)))
                return null;
        }
        using var stream = new MemoryStream();
        return Encoder.Create(32, new StreamCodeWriter(stream)).TryEncode(instruction, TestMachine.CodeAt, out _, out _) ? stream.ToArray() : null;
    }

    private static bool SetOperand(ref Instruction instruction, int operand, OpCodeOperandKind kind)
    {
        string name = kind.ToString();
        if (name.EndsWith("or_mem", StringComparison.Ordinal) || kind is OpCodeOperandKind.mem)
        {
            instruction.SetOpKind(operand, OpKind.Memory);
            instruction.MemoryBase = Register.EDX;
            return true;
        }
        switch (kind)
        {
            case OpCodeOperandKind.mem_offs:
                instruction.SetOpKind(operand, OpKind.Memory);
                instruction.MemoryDisplacement64 = instruction.Code is Code.Mov_AL_moffs8 or Code.Mov_moffs8_AL ? Missing : Missing - 1;
                instruction.MemoryDisplSize = 4;
                return true;
            case OpCodeOperandKind.seg_rSI:
                instruction.SetOpKind(operand, OpKind.MemorySegESI);
                return true;
            case OpCodeOperandKind.es_rDI:
                instruction.SetOpKind(operand, OpKind.MemoryESEDI);
                return true;
            case OpCodeOperandKind.seg_rDI:
                instruction.SetOpKind(operand, OpKind.MemorySegEDI);
                return true;
            case OpCodeOperandKind.seg_rBX_al:
                instruction.SetOpKind(operand, OpKind.Memory);
                instruction.MemoryBase = Register.EBX;
                instruction.MemoryIndex = Register.AL;
                return true;
        }
        Register? register = kind switch
        {
            OpCodeOperandKind.al => Register.AL,
            OpCodeOperandKind.cl or OpCodeOperandKind.r8_reg or OpCodeOperandKind.r8_opcode => Register.CL,
            OpCodeOperandKind.ax => Register.AX,
            OpCodeOperandKind.dx => Register.DX,
            OpCodeOperandKind.eax => Register.EAX,
            OpCodeOperandKind.r16_reg or OpCodeOperandKind.r16_opcode or OpCodeOperandKind.r16_rm => Register.CX,
            OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_opcode or OpCodeOperandKind.r32_rm => Register.ECX,
            OpCodeOperandKind.seg_reg or OpCodeOperandKind.es => Register.ES,
            OpCodeOperandKind.ds => Register.DS,
            OpCodeOperandKind.ss => Register.SS,
            OpCodeOperandKind.fs => Register.FS,
            OpCodeOperandKind.gs => Register.GS,
            OpCodeOperandKind.cs => Register.CS,
            OpCodeOperandKind.st0 => Register.ST0,
            OpCodeOperandKind.sti_opcode => Register.ST1,
            OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm => Register.XMM1,
            OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_rm => Register.MM1,
            _ => null,
        };
        if (register is { } known)
        {
            instruction.SetOpRegister(operand, known);
            return true;
        }
        OpKind? immediate = kind switch
        {
            OpCodeOperandKind.imm8 when instruction.Mnemonic == Mnemonic.Enter => OpKind.Immediate8_2nd,
            OpCodeOperandKind.imm8 or OpCodeOperandKind.imm8_const_1 => OpKind.Immediate8,
            OpCodeOperandKind.imm8sex16 => OpKind.Immediate8to16,
            OpCodeOperandKind.imm8sex32 => OpKind.Immediate8to32,
            OpCodeOperandKind.imm16 => OpKind.Immediate16,
            OpCodeOperandKind.imm32 => OpKind.Immediate32,
            _ => null,
        };
        if (immediate is not { } value)
            return false;
        instruction.SetOpKind(operand, value);
        instruction.SetImmediate(operand, kind == OpCodeOperandKind.imm8_const_1 ? 1u : 3);
        return true;
    }
}
