using System.Numerics;
using System.Runtime.CompilerServices;

namespace Farm.Assist.Cpu;

// The arithmetic flags, evaluated lazily: instructions leave what they computed, readers derive the flag they need.
public sealed unsafe partial class X86Cpu
{
    /// <summary>All flags, materialised. The setter replaces every bit (reserved bits are the caller's business).</summary>
    public uint Flags
    {
        get => (uint)State->Rflags;
        set => State->Rflags = value;
    }

    public bool Cf { get => (Flags & Eflags.CF) != 0; set => Assign(Eflags.CF, value); }

    public bool Zf { get => (Flags & Eflags.ZF) != 0; set => Assign(Eflags.ZF, value); }

    public bool Sf => (Flags & Eflags.SF) != 0;

    public bool Of { get => (Flags & Eflags.OF) != 0; set => Assign(Eflags.OF, value); }

    public bool Pf => (Flags & Eflags.PF) != 0;

    public bool Af { get => (Flags & Eflags.AF) != 0; set => Assign(Eflags.AF, value); }

    private void Assign(uint flag, bool value) => Flags = value ? Flags | flag : Flags & ~flag;
}
