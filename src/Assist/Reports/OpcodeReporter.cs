using System.Globalization;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Reports;

/// <summary>What the reporter cannot see in the processor's state.</summary>
/// <param name="ExitReason">One of <see cref="OpcodeReasons"/>.</param>
/// <param name="Progress">How far the guest is.</param>
/// <param name="Branches">Last taken branches, newest first, linear.</param>
/// <param name="Instructions">Guest instructions so far.</param>
/// <param name="Bytes">The instruction as the hypervisor gave it, if it did; else it is read from memory.</param>
public sealed record OpcodeContext(
    string ExitReason,
    GuestProgress Progress = GuestProgress.Firmware,
    IReadOnlyList<(ulong From, ulong To)>? Branches = null,
    ulong Instructions = 0,
    byte[]? Bytes = null);

/// <summary>Makes an <see cref="UnsupportedOpcodeEvent"/> of a processor's state that stands at the instruction.</summary>
public static unsafe class OpcodeReporter
{
    private const int MaxInstruction = 15, Before = 32, After = 48, LinesAfter = 6;

    public static UnsupportedOpcodeEvent Create(CpuState* state, PhysicalMemory memory, OpcodeContext context)
    {
        var mode = ModeOf(state);
        int bits = mode switch { CpuMode.Protected32 => 32, CpuMode.Long64 => 64, _ => state->Cs.Big ? 32 : 16 };
        ulong linear = bits == 64 ? state->Rip : (uint)(state->Cs.Base + state->Rip);
        var linearMemory = new LinearMemory(state, memory);
        byte[] bytes = context.Bytes is { Length: > 0 } given ? given : ReadAt(linearMemory, linear, MaxInstruction);
        var instruction = Decode(bytes, bits, state->Rip);
        int length = instruction.IsInvalid ? Math.Min(bytes.Length, MaxInstruction) : instruction.Length;
        var window = Window(linearMemory, linear);
        return new UnsupportedOpcodeEvent
        {
            Bytes = Convert.ToHexString(bytes.AsSpan(0, length)),
            Prefixes = Convert.ToHexString(bytes.AsSpan(0, CountPrefixes(bytes, bits))),
            Code = instruction.Code.ToString(),
            Mnemonic = instruction.Mnemonic.ToString().ToLowerInvariant(),
            Opcode = instruction.IsInvalid ? "" : ManualForm(instruction.Code),
            Text = Format(instruction),
            Mode = mode,
            CodeSegment = state->Cs.Selector,
            InstructionPointer = state->Rip,
            LinearAddress = linear,
            Owner = AddressOwner.Of(linearMemory.Translate(linear) ?? linear, state, memory, context.Progress),
            ExitReason = context.ExitReason,
            Registers = Registers(state, bits == 64),
            Segments = Segments(state),
            BytesAround = Convert.ToHexString(window.Bytes),
            BytesAroundAddress = window.Start,
            Disassembly = Disassemble(state, window, linear, bits, length),
            LastBranches = [.. (context.Branches ?? []).Select(branch => string.Create(CultureInfo.InvariantCulture, $"{branch.From:X8} -> {branch.To:X8}"))],
            Instructions = (long)Math.Min(context.Instructions, long.MaxValue),
        };
    }

    public static CpuMode ModeOf(CpuState* state)
    {
        if ((state->Cr0 & ControlRegisters.Cr0PE) == 0)
            return CpuMode.Real;
        if ((state->Rflags & Eflags.VM) != 0)
            return CpuMode.Vm86;
        if ((state->Efer & ControlRegisters.EferLMA) != 0 && state->Cs.Long)
            return CpuMode.Long64;
        return state->Cs.Big ? CpuMode.Protected32 : CpuMode.Protected16;
    }

    private static Instruction Decode(byte[] bytes, int bits, ulong ip)
    {
        Decoder.Create(bits, bytes, ip).Decode(out var instruction);
        return instruction;
    }

    private static byte[] ReadAt(LinearMemory memory, ulong linear, int count)
    {
        byte[] bytes = new byte[count];
        return bytes[..memory.Read(linear, bytes)];
    }

    private static (ulong Start, byte[] Bytes) Window(LinearMemory memory, ulong linear)
    {
        ulong start = linear >= Before ? linear - Before : 0;
        while (start < linear && memory.Translate(start) is null)
            start++;
        return (start, ReadAt(memory, start, (int)(linear - start) + After));
    }

    private static int CountPrefixes(byte[] bytes, int bits)
    {
        int count = 0;
        while (count < bytes.Length && (bytes[count] is 0x26 or 0x2E or 0x36 or 0x3E or 0x64 or 0x65 or 0x66 or 0x67 or 0xF0 or 0xF2 or 0xF3
            || (bits == 64 && (bytes[count] & 0xF0) == 0x40)))
        {
            count++;
        }
        return count;
    }

    /// <summary>Iced's opcode string without its operand and address size marks: the prefixes tell those.</summary>
    private static string ManualForm(Code code) =>
        string.Join(' ', code.ToOpCode().ToOpCodeString().Split(' ').Where(part => part is not ("o16" or "o32" or "o64" or "a16" or "a32" or "a64")));

    private static string Format(in Instruction instruction)
    {
        var output = new StringOutput();
        new NasmFormatter().Format(instruction, output);
        return output.ToStringAndReset();
    }

    private static List<CodeLine> Disassemble(CpuState* state, (ulong Start, byte[] Bytes) window, ulong linear, int bits, int length)
    {
        int at = (int)(linear - window.Start);
        List<CodeLine> lines = [];
        int offset = FindStart(window.Bytes, at, bits, state->Rip);
        int following = 0;
        while (offset < window.Bytes.Length && following <= LinesAfter)
        {
            ulong ip = state->Rip + (ulong)(offset - at);
            var instruction = Decode(window.Bytes[offset..], bits, ip);
            bool failing = offset == at;
            int size = failing ? Math.Min(length, window.Bytes.Length - at) : Math.Max(1, instruction.Length);
            if (instruction.IsInvalid && !failing)
                size = 1;
            string address = bits == 16
                ? string.Create(CultureInfo.InvariantCulture, $"{state->Cs.Selector:X4}:{ip & 0xFFFF:X4}")
                : (window.Start + (ulong)offset).ToString(bits == 64 ? "X16" : "X8", CultureInfo.InvariantCulture);
            lines.Add(new CodeLine(address, Convert.ToHexString(window.Bytes.AsSpan(offset, size)), Format(instruction), failing));
            offset += size;
            if (offset > at)
                following++;
        }
        return lines;
    }

    /// <summary>The earliest place before the instruction from which decoding arrives exactly at it.</summary>
    private static int FindStart(byte[] bytes, int at, int bits, ulong rip)
    {
        for (int start = Math.Max(0, at - Before); start < at; start++)
        {
            int offset = start;
            while (offset < at)
            {
                var instruction = Decode(bytes[offset..], bits, rip + (ulong)(offset - at));
                if (instruction.IsInvalid)
                    break;
                offset += instruction.Length;
            }
            if (offset == at)
                return start;
        }
        return at;
    }

    private static List<RegisterView> Registers(CpuState* state, bool wide)
    {
        string[] names = wide
            ? ["RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"]
            : ["EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"];
        List<RegisterView> registers = [];
        for (int i = 0; i < names.Length; i++)
            registers.Add(new(names[i], wide ? state->Gpr[i] : (uint)state->Gpr[i]));
        registers.Add(new(wide ? "RIP" : "EIP", state->Rip));
        registers.Add(new(wide ? "RFLAGS" : "EFLAGS", state->Rflags));
        registers.Add(new("CR0", state->Cr0));
        registers.Add(new("CR2", state->Cr2));
        registers.Add(new("CR3", state->Cr3));
        registers.Add(new("CR4", state->Cr4));
        registers.Add(new("EFER", state->Efer));
        registers.Add(new("DR6", state->Dr[6]));
        registers.Add(new("DR7", state->Dr[7]));
        registers.Add(new("GDTR.base", state->Gdtr.Base));
        registers.Add(new("GDTR.limit", state->Gdtr.Limit));
        registers.Add(new("IDTR.base", state->Idtr.Base));
        registers.Add(new("IDTR.limit", state->Idtr.Limit));
        return registers;
    }

    private static List<SegmentView> Segments(CpuState* state)
    {
        SegmentCache[] caches = [state->Es, state->Cs, state->Ss, state->Ds, state->Fs, state->Gs, state->Ldtr, state->Tr];
        string[] names = ["ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"];
        return [.. caches.Select((cache, i) => new SegmentView(names[i], cache.Selector, cache.Base, cache.Limit, cache.Access))];
    }
}
