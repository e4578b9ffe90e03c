using System.Globalization;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Tests.Moo;

/// <summary>Runs captured tests in real mode and tells what differs.</summary>
public sealed unsafe class MooMachine : IDisposable
{
    // FFFF:FFFF is the last byte that real mode reaches.
    private const int RamSize = 0x110000;
    private const ulong Budget = 200_000;
    private const byte Hlt = 0xF4;

    /// <summary>Where the general registers of the format lie among ours.</summary>
    private static readonly (MooRegister Register, int Gpr)[] _general =
    [
        (MooRegister.Ax, 0), (MooRegister.Cx, 1), (MooRegister.Dx, 2), (MooRegister.Bx, 3),
        (MooRegister.Sp, 4), (MooRegister.Bp, 5), (MooRegister.Si, 6), (MooRegister.Di, 7),
    ];

    private static readonly (MooRegister Register, Seg Segment)[] _segments =
    [
        (MooRegister.Es, Seg.Es), (MooRegister.Cs, Seg.Cs), (MooRegister.Ss, Seg.Ss), (MooRegister.Ds, Seg.Ds),
    ];

    private readonly TestMachine _machine = new(CpuModel.P3, RamSize);
    private readonly Dictionary<uint, byte> _expected = [];

    /// <summary>Runs one test; the differences, empty when it passes.</summary>
    public IReadOnlyList<string> Run(MooTest test, ushort definedFlags)
    {
        Instruction instruction = MooDifferences.Decode(test);
        Load(test, instruction);
        StopReason reason = _machine.Cpu.Run(Budget);
        List<string> differences = [];
        if (reason != StopReason.Halted)
            differences.Add($"ended with {reason} at {_machine.State->Cs.Selector:X4}:{_machine.State->Rip:X4}");
        CompareRegisters(test, instruction, (ushort)(definedFlags & MooDifferences.ComparedFlags), differences);
        CompareMemory(test, (ushort)(definedFlags & MooDifferences.ComparedFlags), differences);
        Clear();
        if (differences.Count != 0)
            _machine.Ram.Clear();
        return differences;
    }

    /// <summary>First address of memory that a test wrote without leave; null: none.</summary>
    public int? StrayWrite()
    {
        int at = _machine.Ram.IndexOfAnyExcept((byte)0);
        _machine.Ram.Clear();
        return at < 0 ? null : at;
    }

    public void Dispose() => _machine.Dispose();

    private void Load(MooTest test, in Instruction instruction)
    {
        foreach ((uint address, byte value) in test.Initial.Ram)
            _expected[address] = value;
        if (MooDifferences.RaisesStackFault(test, instruction))
            ExchangeVectors();

        // The capturing rig answers the fetch at a branch target or in a handler with HLT; it is not in the initial memory.
        uint halt = Linear(Final(test, MooRegister.Cs), (ushort)(Final(test, MooRegister.Ip) - 1));
        _expected.TryAdd(halt, Hlt);

        if (MooDifferences.ReplacesLock(test) is byte harmless)
            ReplaceLock(test, harmless);
        foreach ((uint address, byte value) in _expected)
            _machine.Load(address, value);

        _machine.SetUpReal();
        foreach ((MooRegister register, int gpr) in _general)
            _machine.State->Gpr[gpr] = test.Initial[register] ?? 0;
        foreach ((MooRegister register, Seg segment) in _segments)
            _machine.Cpu.Segment(segment) = SegmentCache.RealMode(test.Initial[register] ?? 0, segment == Seg.Cs);
        _machine.State->Rip = test.Initial[MooRegister.Ip] ?? 0;
        _machine.State->Rflags = (test.Initial[MooRegister.Flags] ?? 0u) & MooDifferences.ComparedFlags;
        _machine.Cpu.ModeChanged();

        foreach ((uint address, byte value) in test.Final.Ram)
            _expected[address] = value;
    }

    private void ExchangeVectors()
    {
        for (uint i = 0; i < 4; i++)
        {
            _expected.Remove((12 * 4) + i, out byte stack);
            _expected.Remove((13 * 4) + i, out byte general);
            _expected[(12 * 4) + i] = general;
            _expected[(13 * 4) + i] = stack;
        }
    }

    private void ReplaceLock(MooTest test, byte harmless)
    {
        ReadOnlySpan<byte> prefixes = MooDifferences.Prefixes(test.Bytes);
        for (int i = 0; i < prefixes.Length; i++)
        {
            if (prefixes[i] == MooDifferences.Lock)
                _expected[Linear(test.Initial[MooRegister.Cs] ?? 0, (ushort)((test.Initial[MooRegister.Ip] ?? 0) + i))] = harmless;
        }
    }

    private void CompareRegisters(MooTest test, in Instruction instruction, ushort definedFlags, List<string> differences)
    {
        bool advanced = MooDifferences.LeavesIndexesAdvanced(test, instruction);
        bool repeated = instruction.HasRepePrefix || instruction.HasRepnePrefix;
        foreach ((MooRegister register, int gpr) in _general)
        {
            ushort expected = Final(test, register);
            if (advanced && register is MooRegister.Si or MooRegister.Di or MooRegister.Cx)
            {
                if (repeated)
                    continue;
                expected = test.Initial[register] ?? 0;
            }
            Compare(register, (uint)_machine.State->Gpr[gpr], expected);
        }
        foreach ((MooRegister register, Seg segment) in _segments)
        {
            Compare(register, _machine.Cpu.Segment(segment).Selector, Final(test, register));
            Compare(register, (uint)_machine.Cpu.Segment(segment).Base >> 4, Final(test, register));
        }
        Compare(MooRegister.Ip, (uint)_machine.State->Rip & MooDifferences.ComparedIp, Final(test, MooRegister.Ip));
        Compare(MooRegister.Flags, (uint)_machine.State->Rflags & definedFlags, (uint)Final(test, MooRegister.Flags) & definedFlags);

        void Compare(MooRegister register, uint actual, uint expected)
        {
            if (actual != expected)
                differences.Add($"{register} {test.Initial[register]:X4} became {actual:X4}, expected {expected:X4}");
        }
    }

    private void CompareMemory(MooTest test, ushort definedFlags, List<string> differences)
    {
        // The suite's own address is that of the bus cycle, which for an odd stack is one below.
        uint flags = Linear(Final(test, MooRegister.Ss), (ushort)(Final(test, MooRegister.Sp) + 4));
        foreach ((uint address, byte value) in _expected)
        {
            int mask = 0xFF;
            if (test.Exception != null && address - flags < 2)
                mask = definedFlags >> (int)((address - flags) * 8);
            if (((_machine.Ram[(int)address] ^ value) & mask & 0xFF) != 0)
                differences.Add(string.Create(CultureInfo.InvariantCulture, $"[{address:X5}] is {_machine.Ram[(int)address]:X2}, expected {value:X2}"));
        }
    }

    private void Clear()
    {
        foreach (uint address in _expected.Keys)
            _machine.Load(address, 0);
        _expected.Clear();
    }

    private static ushort Final(MooTest test, MooRegister register) => test.Final[register] ?? test.Initial[register] ?? 0;

    private static uint Linear(ushort segment, ushort offset) => ((uint)segment << 4) + offset;
}
