using System.Runtime.InteropServices;
using Farm.Assist.Instructions;
using Iced.Intel;

namespace Farm.Assist.Cpu;

/// <summary>
/// Handlers by Iced's <see cref="Code"/>: one for the register form, one for the form with a memory operand, so that no handler
/// asks which it is. A valid code without a handler is <see cref="X86Cpu.Unsupported"/>.
/// </summary>
public static unsafe class InstructionTable
{
    private static readonly int Codes = Enum.GetValues<Code>().Length;
    private static readonly delegate*<X86Cpu, Op*, void>* Forms =
        (delegate*<X86Cpu, Op*, void>*)NativeMemory.AllocZeroed((nuint)Codes * 2, (nuint)sizeof(void*));

#pragma warning disable CA1810 // The order matters: the table must exist before families register
    static InstructionTable() => Families.Register();
#pragma warning restore CA1810

    /// <summary>One handler for both forms, or for a code that has only one.</summary>
    public static void Register(Code code, delegate*<X86Cpu, Op*, void> handler) => Register(code, handler, handler);

    public static void Register(Code code, delegate*<X86Cpu, Op*, void> register, delegate*<X86Cpu, Op*, void> memory)
    {
        Forms[(int)code * 2] = register;
        Forms[((int)code * 2) + 1] = memory;
    }

    /// <summary>True when a family has registered the code.</summary>
    public static bool Has(Code code) => Forms[(int)code * 2] != null || Forms[((int)code * 2) + 1] != null;

    /// <summary>The handler, or null.</summary>
    internal static delegate*<X86Cpu, Op*, void> Find(Code code, bool memory) => Forms[((int)code * 2) + (memory ? 1 : 0)];
}
