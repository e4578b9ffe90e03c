using System.Runtime.InteropServices;
using Farm.Assist.Tests.Native;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Fpu;

/// <summary>What an x87, MMX or SSE instruction sees and leaves: the FXSAVE image, a memory operand, RAX, RCX and RFLAGS.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct FpuFrame
{
    public fixed byte Image[512];
    public fixed byte Data[128];
    public ulong Rax, Rcx, Flags;
}

/// <summary>
/// Runs one instruction on the host's processor between FXRSTOR and FXSAVE. Its memory operand is [RDX] or [RDI], which point at
/// the frame's data; it may use RAX and RCX. Pending exceptions are not raised: nothing waits before the state is saved. x86-64 Linux only.
/// </summary>
internal sealed unsafe class HostFpu : IDisposable
{
    private const int CodeSize = 0x1000, FrameSize = 0x1000, LongestInstruction = 15;
    private readonly byte* _code;
    private readonly FpuFrame* _frame;
    private readonly int _slot;

    public HostFpu()
    {
        _code = HostMemory.Map(null, CodeSize, executable: true);
        _frame = (FpuFrame*)HostMemory.Map(null, FrameSize, executable: false);
        _slot = EmitThunk();
    }

    public void Execute(ReadOnlySpan<byte> instruction, ref FpuFrame frame)
    {
        Span<byte> slot = new(_code + _slot, LongestInstruction);
        slot.Fill(0x90);
        instruction.CopyTo(slot);
        *_frame = frame;
        ((delegate* unmanaged<FpuFrame*, void>)_code)(_frame);
        frame = *_frame;
    }

    public void Dispose()
    {
        HostMemory.Unmap(_code, CodeSize);
        HostMemory.Unmap((byte*)_frame, FrameSize);
    }

    private int EmitThunk()
    {
        int data = 512, rest = data + 128;
        Assembler c = new(64);
        c.push(rbx);
        c.sub(rsp, 16);
        c.stmxcsr(__dword_ptr[rsp]);
        c.fnstcw(__word_ptr[rsp + 8]);
        c.mov(rbx, rdi);
        c.lea(rdx, __[rdi + data]);
        c.fxrstor(__[rbx]);
        c.push(__qword_ptr[rbx + rest + 16]);
        c.popfq();
        c.mov(rax, __qword_ptr[rbx + rest]);
        c.mov(rcx, __qword_ptr[rbx + rest + 8]);
        c.mov(rdi, rdx);
        Label slot = c.CreateLabel();
        c.Label(ref slot);
        for (int i = 0; i < LongestInstruction; i++)
            c.nop();
        c.mov(__qword_ptr[rbx + rest], rax);
        c.mov(__qword_ptr[rbx + rest + 8], rcx);
        c.pushfq();
        c.pop(__qword_ptr[rbx + rest + 16]);
        c.fxsave(__[rbx]);
        c.fninit();
        c.fldcw(__word_ptr[rsp + 8]);
        c.ldmxcsr(__dword_ptr[rsp]);
        c.cld();
        c.add(rsp, 16);
        c.pop(rbx);
        c.ret();
        using MemoryStream stream = new();
        AssemblerResult result = c.Assemble(new StreamCodeWriter(stream), (ulong)_code, BlockEncoderOptions.ReturnNewInstructionOffsets);
        stream.ToArray().CopyTo(new Span<byte>(_code, CodeSize));
        return (int)(result.GetLabelRIP(slot) - (ulong)_code);
    }
}
