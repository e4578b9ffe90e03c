using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Native;

/// <summary>EAX ECX EDX EBX ESP EBP ESI EDI and EFLAGS, before and after an instruction.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LegacyRegisters
{
    public fixed uint Gpr[8];
    public uint Flags;
}

/// <summary>
/// Runs instructions of 32-bit or 16-bit code on the host's processor: from 64-bit code through a far return into the kernel's 32-bit user
/// segment, or into 16-bit segments of a local descriptor table, and back by a far jump. Code, registers, data and stack lie in one
/// block of 64 KiB, which is all that 16-bit code sees. x86-64 Linux only.
/// </summary>
internal sealed unsafe partial class HostLegacyProcessor : IDisposable
{
    public const uint Block = 0x22000000;
    public const int BlockSize = 0x10000;

    // Offsets in the block: code, registers, data, stack.
    public const int SlotAt = 0x300, SlotSize = 24, DataAt = 0x2000, DataSize = 0x2000, StackAt = 0x5000, StackSize = 0x2000;
    private const int EntryAt = 0, ReturnAt = 0x80, LegacyAt = 0x100, AfterAt = SlotAt + SlotSize, FrameAt = 0x1000, SavedStackAt = 0x1100;

    private const ushort Code64 = 0x33, Code32 = 0x23, Data32 = 0x2B, Code16 = 0x07, Data16 = 0x0F;
    private const int ModifyLdt = 154;

    private readonly byte* _block;
    private readonly int _bits;

    public HostLegacyProcessor(int bits)
    {
        _bits = bits;
        _block = HostMemory.Map(Block, BlockSize, executable: true);
        if (bits == 16)
        {
            Describe(0, contents: 2);
            Describe(1, contents: 0);
        }
        Emit(64, EntryAt, EmitEntry);
        Emit(64, ReturnAt, EmitReturn);
        Emit(bits, LegacyAt, EmitBefore);
        Emit(bits, AfterAt, EmitAfter);
    }

    public byte* Memory => _block;

    /// <summary>Linear address of offset 0 for the instructions: 16-bit segments begin at the block.</summary>
    public uint Origin => _bits == 16 ? 0 : Block;

    /// <summary>Executes instructions, which have to come out at the end of the slot with the segment registers as they were.</summary>
    public void Execute(ReadOnlySpan<byte> instructions, ref LegacyRegisters registers)
    {
        Span<byte> slot = new(_block + SlotAt, SlotSize);
        slot.Fill(0x90);
        instructions.CopyTo(slot);
        *(LegacyRegisters*)(_block + FrameAt) = registers;
        ((delegate* unmanaged<void>)(_block + EntryAt))();
        registers = *(LegacyRegisters*)(_block + FrameAt);
    }

    public void Dispose() => HostMemory.Unmap(_block, BlockSize);

    private static void EmitEntry(Assembler c)
    {
        foreach (var register in Kept)
            c.push(register);
        c.mov(__qword_ptr[(long)Block + SavedStackAt], rsp);
        c.mov(esp, Block + DataAt);
    }

    private static AssemblerRegister64[] Kept => [rbx, rbp, r12, r13, r14, r15];

    private static void EmitReturn(Assembler c)
    {
        c.mov(eax, Data32);
        c.mov(ss, eax);
        c.mov(rsp, __qword_ptr[(long)Block + SavedStackAt]);
        c.xor(eax, eax);
        c.mov(ds, eax);
        c.mov(es, eax);
        c.cld();
        foreach (var register in Kept.Reverse())
            c.pop(register);
        c.ret();
    }

    private void EmitBefore(Assembler c)
    {
        c.mov(ax, _bits == 16 ? Data16 : Data32);
        c.mov(ds, ax);
        c.mov(es, ax);
        c.mov(ss, ax);
        c.mov(esp, Origin + FrameAt + 32);
        c.popfd();
        foreach (var (register, place) in Registers)
            c.mov(register, __dword_ptr[Origin + FrameAt + (uint)place]);
        c.mov(esp, __dword_ptr[Origin + FrameAt + 16]);
        c.jmp((ulong)(Origin + SlotAt));
    }

    private void EmitAfter(Assembler c)
    {
        foreach (var (register, place) in Registers)
            c.mov(__dword_ptr[Origin + FrameAt + (uint)place], register);
        c.mov(__dword_ptr[Origin + FrameAt + 16], esp);
        c.mov(esp, Origin + FrameAt + 36);
        c.pushfd();

        // JMP ptr16:32
        c.db(_bits == 16 ? [0x66, 0xEA, .. BitConverter.GetBytes(Block + ReturnAt), (byte)Code64, 0] : [0xEA, .. BitConverter.GetBytes(Block + ReturnAt), (byte)Code64, 0]);
    }

    private static (AssemblerRegister32 Register, int Place)[] Registers =>
        [(eax, 0), (ecx, 4), (edx, 8), (ebx, 12), (ebp, 20), (esi, 24), (edi, 28)];

    private void Emit(int bits, int at, Action<Assembler> code)
    {
        Assembler c = new(bits);
        code(c);
        if (at == EntryAt)
        {
            // To the legacy segment.
            c.push(_bits == 16 ? Code16 : Code32);
            c.push((int)(Origin + LegacyAt));
            c.db(0x48, 0xCB);
        }
        using MemoryStream stream = new();
        c.Assemble(new StreamCodeWriter(stream), bits == 64 ? Block + (ulong)at : Origin + (ulong)at);
        stream.ToArray().CopyTo(new Span<byte>(_block + at, BlockSize - at));
    }

    private static void Describe(int entry, uint contents)
    {
        uint* descriptor = stackalloc uint[4];
        descriptor[0] = (uint)entry;
        descriptor[1] = Block;
        descriptor[2] = 0xFFFF;
        descriptor[3] = contents << 1;
        if (SystemCall(ModifyLdt, 1, descriptor, 16) != 0)
            throw new PlatformNotSupportedException($"The kernel has no modify_ldt (errno {Marshal.GetLastPInvokeError()}).");
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial nint SystemCall(nint number, nint function, void* pointer, nint size);
}
