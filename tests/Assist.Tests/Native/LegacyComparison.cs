using System.Globalization;
using System.Text;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Tests.Native;

/// <summary>One processor of each kind in 32-bit or 16-bit code, data and stack shared, and random instructions for both.</summary>
internal sealed unsafe class LegacyComparison : IDisposable
{
    private const uint ComparedFlags = Eflags.Arithmetic | Eflags.DF;
    private const int InputsPerInstruction = 4;

    /// <summary>From the data to the stack's end: what instructions may change, and is compared.</summary>
    private const int SharedSize = HostLegacyProcessor.StackAt + HostLegacyProcessor.StackSize - HostLegacyProcessor.DataAt;

    private readonly HostLegacyProcessor _host;
    private readonly int _bits;

    /// <summary>Stops at HLT.</summary>
    private readonly TestMachine _guest = new(CpuModel.X64, refuses: code => code == Code.Hlt);
    private readonly byte[] _before = new byte[SharedSize];
    private readonly byte[] _ours = new byte[SharedSize];
    private Random _random = new(0);
    private LegacyGenerator _generator;

    public LegacyComparison(int bits)
    {
        _bits = bits;
        _generator = new(_random, bits);
        _host = new HostLegacyProcessor(bits);
        _guest.SetUpProtected(bits, cpl: bits == 32 ? 3 : 0);
        CpuState* state = _guest.State;
        if (bits == 16)
        {
            SegmentCache* segments = &state->Es;
            for (int i = 0; i < 6; i++)
                (segments[i].Base, segments[i].Limit) = (HostLegacyProcessor.Block, 0xFFFF);
            _guest.Cpu.ModeChanged();
        }
        _guest.Memory.Map(HostLegacyProcessor.Block, HostLegacyProcessor.BlockSize, _host.Memory, PageKind.Readable | PageKind.Writable);

        // Its code page is its own, with HLT behind the slot.
        byte* own = (byte*)System.Runtime.InteropServices.NativeMemory.AlignedAlloc(4096, 4096);
        new Span<byte>(own, 4096).Fill(0xF4);
        _code = own;
        _guest.Memory.Map(HostLegacyProcessor.Block, 4096, own, PageKind.Readable | PageKind.Writable);
    }

    private readonly byte* _code;

    /// <summary>Instructions compared, those that fault left out.</summary>
    public int Compared { get; private set; }

    public void Seed(int seed)
    {
        _random = new Random(seed);
        _generator = new(_random, _bits);
    }

    /// <summary>Compares one random instruction of <paramref name="code"/> with several inputs; the first difference, or null.</summary>
    public string? Round(Code code, bool memoryForm)
    {
        ulong ip = _host.Origin + HostLegacyProcessor.SlotAt;
        Instruction instruction;
        byte[] bytes;
        int tries = 0;
        while (!_generator.TryCreate(code, memoryForm, ip, out instruction, out bytes))
        {
            if (++tries > 1000)
                return $"{code} cannot be encoded.";
        }
        for (int i = 0; i < InputsPerInstruction; i++)
        {
            if (TryInput(instruction, out var input) && Compare(bytes, input, ComparedFlags & ~NativeComparison.UndefinedFlags(instruction, input.Gpr[1])) is { } difference
                && !NativeComparison.IsUndefined(instruction, input.Gpr[1]))
                return $"{instruction}  [{Convert.ToHexString(bytes)}]\n{difference}";
        }
        return null;
    }

    /// <summary>Compares given bytes with random registers; the stack pointer points into the stack.</summary>
    public string? Sequence(byte[] bytes)
    {
        var input = RandomRegisters();
        input.Gpr[1] = (uint)_random.Next(3) | ((uint)_random.Next(2) << 16);
        return Compare(bytes, input, ComparedFlags) is { } difference ? $"[{Convert.ToHexString(bytes)}]\n{difference}" : null;
    }

    public void Dispose()
    {
        _guest.Dispose();
        _host.Dispose();
        System.Runtime.InteropServices.NativeMemory.AlignedFree(_code);
    }

    private Span<byte> Shared => new(_host.Memory + HostLegacyProcessor.DataAt, _before.Length);

    private string? Compare(byte[] bytes, LegacyRegisters input, uint flags)
    {
        // Ours first: what faults here is not for the host.
        _random.NextBytes(_before);
        _before.CopyTo(Shared);
        _guest.Memory.Write(HostLegacyProcessor.Block + HostLegacyProcessor.SlotAt, [.. bytes, .. Enumerable.Repeat((byte)0x90, HostLegacyProcessor.SlotSize - bytes.Length), 0xF4]);
        CpuState* state = _guest.State;
        for (int i = 0; i < 8; i++)
            state->Gpr[i] = input.Gpr[i];
        state->Rip = _host.Origin + HostLegacyProcessor.SlotAt;
        state->Rflags = input.Flags;
        state->Activity = Activity.Active;
        ulong faults = _guest.Cpu.FaultCount;
        ulong idtr = state->Idtr.Limit;
        state->Idtr.Limit = 0;
        var reason = _guest.Cpu.Run(10_000);
        state->Idtr.Limit = (uint)idtr;
        if (_guest.Cpu.FaultCount != faults)
            return null;
        if (reason != StopReason.Unsupported || state->Rip != _host.Origin + HostLegacyProcessor.SlotAt + HostLegacyProcessor.SlotSize)
            return string.Create(CultureInfo.InvariantCulture, $"The run ended with {reason} at {state->Rip:X}.");
        Shared.CopyTo(_ours);

        _before.CopyTo(Shared);
        LegacyRegisters native = input;
        _host.Execute(bytes, ref native);
        Compared++;
        List<string> differences = [];
        for (int i = 0; i < 8; i++)
        {
            if ((uint)state->Gpr[i] != native.Gpr[i])
                differences.Add(string.Create(CultureInfo.InvariantCulture, $"{Register.EAX + i}: {input.Gpr[i]:X} became {(uint)state->Gpr[i]:X}, native {native.Gpr[i]:X}"));
        }
        if ((((uint)state->Rflags ^ native.Flags) & flags) != 0)
            differences.Add(string.Create(CultureInfo.InvariantCulture, $"flags: {input.Flags:X} became {state->Rflags & flags:X}, native {native.Flags & flags:X}"));
        int at = Shared.CommonPrefixLength(_ours);
        if (at != _ours.Length)
            differences.Add(string.Create(CultureInfo.InvariantCulture, $"[{HostLegacyProcessor.DataAt + at:X}]: {_before[at]:X2} became {_ours[at]:X2}, native {Shared[at]:X2}"));
        return differences.Count == 0 ? null : string.Join('\n', differences.Append(Describe(input)));
    }

    private LegacyRegisters RandomRegisters()
    {
        LegacyRegisters input = default;
        for (int i = 0; i < 8; i++)
            input.Gpr[i] = _generator.NextValue();
        input.Gpr[4] = _host.Origin + HostLegacyProcessor.StackAt + (HostLegacyProcessor.StackSize / 2) + (uint)_random.Next(0x100);
        input.Flags = 2 | ((uint)_random.Next() & Eflags.Arithmetic);
        return input;
    }

    // Registers at random; those that address memory so that the operand lies in the data.
    private bool TryInput(in Instruction instruction, out LegacyRegisters input)
    {
        input = RandomRegisters();
        uint middle = _host.Origin + HostLegacyProcessor.DataAt + (HostLegacyProcessor.DataSize / 2);
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Enter or Mnemonic.Leave:
                input.Gpr[5] = _host.Origin + HostLegacyProcessor.StackAt + (HostLegacyProcessor.StackSize / 2) + 0x80;
                break;
            case Mnemonic.Bound when _random.Next(2) == 0:
                return false;
        }
        if (instruction.IsStringInstruction)
        {
            bool narrow = instruction.Op0Kind is OpKind.MemoryESDI or OpKind.MemorySegSI || instruction.Op1Kind is OpKind.MemoryESDI or OpKind.MemorySegSI;
            uint high = narrow ? (uint)_random.Next(4) << 16 : 0;
            input.Flags |= (uint)_random.Next() & Eflags.DF;
            input.Gpr[1] = (uint)_random.Next(40) | high;
            input.Gpr[6] = (middle + (uint)_random.Next(-0x200, 0x200)) | high;
            input.Gpr[7] = (_random.Next(2) == 0 ? (input.Gpr[6] & ~high) + (uint)_random.Next(-16, 17) : middle + (uint)_random.Next(-0x200, 0x200)) | high;
            return true;
        }
        if (instruction.MemoryBase == Register.None)
            return true;
        int basis = instruction.MemoryBase.GetNumber();
        bool wide = instruction.MemoryBase.GetSize() == 4;
        uint extra = wide ? 0 : (uint)_random.Next(4) << 16;
        bool bitOffset = instruction.Mnemonic is Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc && instruction.Op1Kind == OpKind.Register;
        int offset = bitOffset ? instruction.Op1Register.GetNumber() : -1;
        if (instruction.MemoryIndex is not (Register.None or Register.AL))
        {
            int index = instruction.MemoryIndex.GetNumber();
            if (index == basis || index == offset)
                return false;
            input.Gpr[index] = wide ? (uint)_random.Next(-0x40, 0x40) : (ushort)_random.Next(-0x40, 0x40) | extra;
        }
        if (offset == basis)
            return false;
        if (bitOffset)
            input.Gpr[offset] = (uint)_random.Next(-0x1000, 0x1000);
        input.Gpr[basis] = (middle + (uint)_random.Next(-0x200, 0x200)) | extra;
        return true;
    }

    private static string Describe(in LegacyRegisters input)
    {
        StringBuilder text = new("with");
        for (int i = 0; i < 8; i++)
            text.Append(CultureInfo.InvariantCulture, $" {Register.EAX + i}={input.Gpr[i]:X}");
        return text.Append(CultureInfo.InvariantCulture, $" flags={input.Flags:X}").ToString();
    }
}
