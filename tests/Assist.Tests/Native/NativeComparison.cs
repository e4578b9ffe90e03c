using System.Globalization;
using System.Numerics;
using System.Text;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Tests.Native;

/// <summary>One processor of each kind, the data pages shared, and random instructions for both.</summary>
internal sealed unsafe class NativeComparison : IDisposable
{
    private const uint ComparedFlags = Eflags.Arithmetic | Eflags.DF;
    private const int InputsPerInstruction = 4;
    private const ulong Middle = HostProcessor.DataAddress + (HostProcessor.DataSize / 2);

    private static readonly CpuModel _model = CpuModel.X64 with { Features2 = CpuModel.X64.Features2 | CpuFeatures2.Popcnt };

    private readonly HostProcessor _host = new();

    /// <summary>Stops at HLT.</summary>
    private readonly TestMachine _guest = new(_model, refuses: code => code == Code.Hlt);
    private readonly byte[] _before = new byte[HostProcessor.DataSize];
    private readonly byte[] _after = new byte[HostProcessor.DataSize];

    private Random _random = new(0);
    private InstructionGenerator _generator = new(new Random(0));

    public NativeComparison()
    {
        _guest.SetUpLong();
        _guest.Memory.Map(HostProcessor.DataAddress, HostProcessor.DataSize, _host.Data, PageKind.Readable | PageKind.Writable);
        for (ulong at = HostProcessor.DataAddress; at < HostProcessor.DataAddress + HostProcessor.DataSize; at += PhysicalMemory.PageSize)
            _guest.MapPage(at, at, 7);
    }

    /// <summary>Starts a reproducible sequence.</summary>
    public void Seed(int seed)
    {
        _random = new Random(seed);
        _generator = new(_random);
    }

    /// <summary>Compares one random instruction of <paramref name="code"/> with several inputs; the first difference, or null.</summary>
    public string? Round(Code code, bool memoryForm)
    {
        Instruction instruction;
        byte[] bytes;
        HostRegisters input;
        int tries = 0;
        do
        {
            if (++tries > 1000)
                return $"{code} cannot be encoded.";
        }
        while (!_generator.TryCreate(code, memoryForm, out instruction, out bytes) || !TryInput(instruction, out input));

        _random.NextBytes(_before);
        _guest.Load(TestMachine.CodeAt, [.. bytes, 0xF4]);
        for (int i = 0; i < InputsPerInstruction; i++)
        {
            if (i != 0 && !TryInput(instruction, out input))
                continue;
            Favour(instruction, ref input);
            if (IsUndefined(instruction, input.Gpr[1]))
                continue;
            string? difference = Divides(instruction, input, out bool faults) && faults
                ? CompareFault(input)
                : Compare(instruction, bytes, input);
            if (difference != null)
                return $"{instruction}  [{Convert.ToHexString(bytes)}]\n{difference}";
        }
        return null;
    }

    public void Dispose()
    {
        _guest.Dispose();
        _host.Dispose();
    }

    private string? Compare(in Instruction instruction, byte[] bytes, HostRegisters input)
    {
        _before.CopyTo(_host.DataSpan);
        HostRegisters native = input;
        _host.Execute(bytes, ref native);
        _host.DataSpan.CopyTo(_after);
        _before.CopyTo(_host.DataSpan);

        Load(input);
        StopReason reason = _guest.Cpu.Run(10_000);
        if (reason != StopReason.Unsupported || _guest.State->Rip != TestMachine.CodeAt + (ulong)bytes.Length)
            return $"The run ended with {reason}.";

        List<string> differences = [];
        for (int i = 0; i < 16; i++)
        {
            ulong difference = (_guest.State->Gpr[i] ^ native.Gpr[i]) & ~Undefined(instruction, i);
            if (difference != 0 && i != 4)
                differences.Add($"{Register.RAX + i}: {input.Gpr[i]:X} became {_guest.State->Gpr[i]:X}, native {native.Gpr[i]:X}");
        }
        uint defined = ComparedFlags & ~UndefinedFlags(instruction, input.Gpr[1]);
        if (((_guest.State->Rflags ^ native.Flags) & defined) != 0)
            differences.Add($"flags: {input.Flags:X} became {_guest.State->Rflags & defined:X}, native {native.Flags & defined:X}");
        int at = _host.DataSpan.CommonPrefixLength(_after);
        if (at != HostProcessor.DataSize)
            differences.Add($"[{HostProcessor.DataAddress + (ulong)at:X}]: {_before[at]:X2} became {_host.Data[at]:X2}, native {_after[at]:X2}");
        return differences.Count == 0 ? null : string.Join('\n', differences.Append(Describe(input)));
    }

    private string? CompareFault(HostRegisters input)
    {
        _before.CopyTo(_host.DataSpan);
        Load(input);
        ulong faults = _guest.Cpu.FaultCount;

        // No IDT gate is present: the fault ends in shutdown.
        StopReason reason = _guest.Cpu.Run(10_000);
        if (reason != StopReason.Shutdown || _guest.Cpu.FaultCount != faults + 1)
            return $"No #DE: {reason}.\n{Describe(input)}";
        for (int i = 0; i < 16; i++)
        {
            if (_guest.State->Gpr[i] != input.Gpr[i])
                return $"{Register.RAX + i} changed by a fault.\n{Describe(input)}";
        }
        return null;
    }

    private void Load(in HostRegisters input)
    {
        for (int i = 0; i < 16; i++)
            _guest.State->Gpr[i] = input.Gpr[i];
        _guest.State->Rip = TestMachine.CodeAt;
        _guest.State->Rflags = input.Flags;
        _guest.State->Activity = Activity.Active;
    }

    // Registers at random; those that address memory so that the operand lies in the data pages.
    private bool TryInput(in Instruction instruction, out HostRegisters input)
    {
        input = default;
        for (int i = 0; i < 16; i++)
            input.Gpr[i] = _generator.NextValue();
        input.Gpr[4] = TestMachine.StackTop;
        input.Flags = 2 | ((uint)_random.Next() & Eflags.Arithmetic);
        if (instruction.IsStringInstruction)
        {
            input.Flags |= (uint)_random.Next() & Eflags.DF;
            input.Gpr[1] = (ulong)_random.Next(40);
            input.Gpr[6] = Middle + (ulong)_random.Next(-0x200, 0x200);
            input.Gpr[7] = _random.Next(2) == 0 ? input.Gpr[6] + (ulong)_random.Next(-16, 17) : Middle + (ulong)_random.Next(-0x200, 0x200);
            if (instruction.GetOpKind(instruction.OpCount - 1) is OpKind.MemoryESEDI or OpKind.MemorySegESI || instruction.Op0Kind == OpKind.MemoryESEDI)
                input.Gpr[instruction.Op0Kind == OpKind.MemoryESEDI ? 7 : 6] |= (ulong)_random.Next() << 32;
            return true;
        }
        if (instruction.MemoryBase == Register.None)
            return true;
        int basis = instruction.MemoryBase.GetNumber();
        if (instruction.MemoryIndex is not (Register.None or Register.AL))
        {
            int index = instruction.MemoryIndex.GetNumber();
            if (index == basis)
                return false;
            input.Gpr[index] = (ulong)_random.Next(-0x40, 0x40);
        }
        if (instruction.Mnemonic is Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc && instruction.Op1Kind == OpKind.Register)
        {
            int offset = instruction.Op1Register.GetNumber();
            if (offset == basis || (instruction.MemoryIndex != Register.None && offset == instruction.MemoryIndex.GetNumber()))
                return false;
            input.Gpr[offset] = (ulong)_random.Next(-0x3000, 0x3000);
        }
        input.Gpr[basis] = Middle + (ulong)_random.Next(-0x200, 0x200);
        if (instruction.MemoryBase.GetSize() == 4)
            input.Gpr[basis] |= (ulong)_random.Next() << 32;
        if (instruction.Code == Code.Cmpxchg16b_m128)
            input.Gpr[basis] -= Address(instruction, input) & 15;
        return true;
    }

    // Half of the comparisons of CMPXCHG shall succeed, and half of the divisions fit.
    private void Favour(in Instruction instruction, ref HostRegisters input)
    {
        if (_random.Next(2) == 0)
            return;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Cmpxchg when instruction.Op0Kind == OpKind.Memory:
                if (!UsesRegister(instruction, 0))
                    input.Gpr[0] = BitConverter.ToUInt64(_before, Offset(instruction, input));
                break;
            case Mnemonic.Cmpxchg:
                if (instruction.Op0Register.GetSize() > 1)
                    input.Gpr[0] = input.Gpr[instruction.Op0Register.GetNumber()];
                break;
            case Mnemonic.Cmpxchg8b:
                if (!UsesRegister(instruction, 0) && !UsesRegister(instruction, 2))
                {
                    input.Gpr[0] = BitConverter.ToUInt32(_before, Offset(instruction, input));
                    input.Gpr[2] = BitConverter.ToUInt32(_before, Offset(instruction, input) + 4);
                }
                break;
            case Mnemonic.Cmpxchg16b:
                if (!UsesRegister(instruction, 0) && !UsesRegister(instruction, 2))
                {
                    input.Gpr[0] = BitConverter.ToUInt64(_before, Offset(instruction, input));
                    input.Gpr[2] = BitConverter.ToUInt64(_before, Offset(instruction, input) + 8);
                }
                break;
            case Mnemonic.Div or Mnemonic.Idiv:
                if (!UsesRegister(instruction, 2) && !UsesRegister(instruction, 0))
                {
                    input.Gpr[2] = (ulong)_random.Next(-2, 3);
                    input.Gpr[0] = OperandSize(instruction) == 1 ? (ulong)_random.Next(-300, 300) : input.Gpr[0];
                }
                break;
        }
    }

    private static bool UsesRegister(in Instruction instruction, int number) =>
        instruction.MemoryBase.GetNumber() == number
        || (instruction.MemoryIndex != Register.None && instruction.MemoryIndex.GetNumber() == number)
        || (instruction.Op0Kind == OpKind.Register && instruction.Op0Register.GetNumber() == number);

    /// <summary>For DIV and IDIV: whether the quotient fails to fit, by arithmetic of unlimited precision.</summary>
    private bool Divides(in Instruction instruction, HostRegisters input, out bool faults)
    {
        faults = false;
        if (instruction.Mnemonic is not (Mnemonic.Div or Mnemonic.Idiv))
            return false;
        int size = OperandSize(instruction);
        bool isSigned = instruction.Mnemonic == Mnemonic.Idiv;
        Span<byte> divisor = stackalloc byte[size];
        if (instruction.Op0Kind == OpKind.Memory)
            _before.AsSpan(Offset(instruction, input), size).CopyTo(divisor);
        else
            RegisterBytes(instruction.Op0Register, &input).Slice(0, size).CopyTo(divisor);
        Span<byte> dividend = stackalloc byte[size * 2];
        BitConverter.TryWriteBytes(dividend, (ushort)input.Gpr[0]);
        if (size > 1)
        {
            RegisterBytes(Register.RAX, &input).Slice(0, size).CopyTo(dividend);
            RegisterBytes(Register.RDX, &input).Slice(0, size).CopyTo(dividend[size..]);
        }
        BigInteger by = new(divisor, !isSigned), value = new(dividend, !isSigned);
        BigInteger limit = BigInteger.One << ((size * 8) - (isSigned ? 1 : 0));
        faults = by.IsZero || value / by >= limit || value / by < (isSigned ? -limit : 0);
        return true;
    }

    private static Span<byte> RegisterBytes(Register register, HostRegisters* registers)
    {
        bool high = register is >= Register.AH and <= Register.BH;
        int number = high ? register - Register.AH : register.GetFullRegister() - Register.RAX;
        return new Span<byte>((byte*)&registers->Gpr[number] + (high ? 1 : 0), high ? 7 : 8);
    }

    private static int OperandSize(in Instruction instruction) =>
        instruction.Op0Kind == OpKind.Register ? instruction.Op0Register.GetSize() : instruction.MemorySize.GetSize();

    private static int Offset(in Instruction instruction, HostRegisters input) => (int)(Address(instruction, input) - HostProcessor.DataAddress);

    private static ulong Address(in Instruction instruction, HostRegisters input)
    {
        ulong index = instruction.MemoryIndex == Register.None ? 0 : input.Gpr[instruction.MemoryIndex.GetNumber()];
        ulong address = input.Gpr[instruction.MemoryBase.GetNumber()] + (index * (ulong)instruction.MemoryIndexScale) + instruction.MemoryDisplacement64;
        return instruction.MemoryBase.GetSize() == 4 ? (uint)address : address;
    }

    /// <summary>SHLD and SHRD by more than the operand's size: the result is undefined, and Intel's differs from AMD's.</summary>
    internal static bool IsUndefined(in Instruction instruction, ulong rcx)
    {
        if (instruction.Mnemonic is not (Mnemonic.Shld or Mnemonic.Shrd) || OperandSize(instruction) != 2)
            return false;
        uint count = instruction.Op2Kind == OpKind.Immediate8 ? instruction.Immediate8 : (uint)rcx;
        return (count & 31) > 16;
    }

    /// <summary>
    /// Bits of a register that differ between processors: the upper half of the destination of a 32-bit CMPXCHG that fails (SDM: DEST :=
    /// TEMP, which clears it; AMD leaves it) and of BSF and BSR of zero (SDM, notes on both).
    /// </summary>
    private static ulong Undefined(in Instruction instruction, int register)
    {
        bool named = instruction.Code is Code.Cmpxchg_rm32_r32 or Code.Bsf_r32_rm32 or Code.Bsr_r32_rm32
            && instruction.Op0Kind == OpKind.Register && instruction.Op0Register == Register.EAX + register;
        return named ? 0xFFFFFFFF00000000 : 0;
    }

    /// <summary>Flags undefined by the manual; for a count in CL Iced must assume the worst, here the count is known.</summary>
    internal static uint UndefinedFlags(in Instruction instruction, ulong rcx)
    {
        RflagsBits bits = instruction.RflagsUndefined;
        if (instruction.OpCount > 0 && instruction.GetOpKind(instruction.OpCount - 1) == OpKind.Register
            && instruction.GetOpRegister(instruction.OpCount - 1) == Register.CL && instruction.Mnemonic is
                Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl or Mnemonic.Rcr or Mnemonic.Shl or Mnemonic.Shr or Mnemonic.Sal or Mnemonic.Sar
                or Mnemonic.Shld or Mnemonic.Shrd)
        {
            int count = (int)rcx & (OperandSize(instruction) == 8 ? 63 : 31);
            if (count == 0)
                bits = RflagsBits.None;
            else if (count == 1)
                bits &= ~RflagsBits.OF;
        }
        uint flags = 0;
        if ((bits & RflagsBits.OF) != 0)
            flags |= Eflags.OF;
        if ((bits & RflagsBits.SF) != 0)
            flags |= Eflags.SF;
        if ((bits & RflagsBits.ZF) != 0)
            flags |= Eflags.ZF;
        if ((bits & RflagsBits.AF) != 0)
            flags |= Eflags.AF;
        if ((bits & RflagsBits.CF) != 0)
            flags |= Eflags.CF;
        if ((bits & RflagsBits.PF) != 0)
            flags |= Eflags.PF;
        return flags;
    }

    private static string Describe(in HostRegisters input)
    {
        StringBuilder text = new("with");
        for (int i = 0; i < 16; i++)
            text.Append(CultureInfo.InvariantCulture, $" {Register.RAX + i}={input.Gpr[i]:X}");
        return text.Append(CultureInfo.InvariantCulture, $" flags={input.Flags:X}").ToString();
    }
}
