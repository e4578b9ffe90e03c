using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Native;

/// <summary>RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 and RFLAGS, before and after an instruction.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct HostRegisters
{
    public fixed ulong Gpr[16];
    public ulong Flags;
}

/// <summary>
/// Runs single 64-bit instructions on the host's processor: a thunk loads all general registers but RSP and the flags, executes the
/// instruction and stores everything back. Owns executable memory and a data page below 2 GiB. x86-64 Linux only.
/// </summary>
internal sealed unsafe class HostProcessor : IDisposable
{
    /// <summary>Where the data pages lie, for the host and for the guest alike.</summary>
    public const ulong DataAddress = 0x20000000;
    public const int DataSize = 0x2000;

    private const int LongestInstruction = 15;
    private const int CodeSize = 0x1000;

    private readonly byte* _code;
    private readonly int _slot;

    public HostProcessor()
    {
        _code = HostMemory.Map(null, CodeSize, executable: true);
        Data = HostMemory.Map(DataAddress, DataSize, executable: false);
        _slot = EmitThunk();
    }

    /// <summary>The data pages, at <see cref="DataAddress"/>.</summary>
    public byte* Data { get; }

    public Span<byte> DataSpan => new(Data, DataSize);

    /// <summary>Executes one instruction that neither branches nor touches RSP.</summary>
    public void Execute(ReadOnlySpan<byte> instruction, ref HostRegisters registers)
    {
        Span<byte> slot = new(_code + _slot, LongestInstruction);
        slot.Fill(0x90);
        instruction.CopyTo(slot);
        fixed (HostRegisters* pointer = &registers)
            ((delegate* unmanaged<HostRegisters*, void>)_code)(pointer);
    }

    public void Dispose()
    {
        HostMemory.Unmap(_code, CodeSize);
        HostMemory.Unmap(Data, DataSize);
    }

    private int EmitThunk()
    {
        Assembler c = new(64);
        AssemblerRegister64[] kept = [rbx, rbp, r12, r13, r14, r15];
        AssemblerRegister64[] all = [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];
        foreach (AssemblerRegister64 register in kept)
            c.push(register);
        c.push(rdi);
        c.push(__qword_ptr[rdi + (16 * 8)]);
        c.popfq();
        for (int i = 0; i < all.Length; i++)
        {
            if (all[i] != rsp && all[i] != rdi)
                c.mov(all[i], __qword_ptr[rdi + (i * 8)]);
        }
        c.mov(rdi, __qword_ptr[rdi + (7 * 8)]);
        Label slot = c.CreateLabel();
        c.Label(ref slot);
        for (int i = 0; i < LongestInstruction; i++)
            c.nop();
        c.xchg(__qword_ptr[rsp], rdi);
        for (int i = 0; i < all.Length; i++)
        {
            if (all[i] != rsp && all[i] != rdi)
                c.mov(__qword_ptr[rdi + (i * 8)], all[i]);
        }
        c.pushfq();
        c.pop(rax);
        c.mov(__qword_ptr[rdi + (16 * 8)], rax);
        c.pop(rax);
        c.mov(__qword_ptr[rdi + (7 * 8)], rax);
        c.cld();
        for (int i = kept.Length - 1; i >= 0; i--)
            c.pop(kept[i]);
        c.ret();

        using MemoryStream stream = new();
        AssemblerResult result = c.Assemble(new StreamCodeWriter(stream), (ulong)_code, BlockEncoderOptions.ReturnNewInstructionOffsets);
        stream.ToArray().CopyTo(new Span<byte>(_code, CodeSize));
        return (int)(result.GetLabelRIP(slot) - (ulong)_code);
    }
}
