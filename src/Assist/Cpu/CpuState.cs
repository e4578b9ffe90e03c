using System.Runtime.InteropServices;

namespace Farm.Assist.Cpu;

/// <summary>
/// Everything architectural of one x86 processor, blittable, at fixed offsets, in native memory. KVM and WHP registers are
/// copied in and out of the same struct, so the assist reads one shape whatever runs the guest.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct CpuState
{
    /// <summary>Index into <see cref="Gpr"/> of a slot that is always zero: an absent base or index register.</summary>
    public const int ZeroSlot = 16;

    /// <summary>Index into <see cref="Gpr"/> of RIP (of the next instruction while one executes).</summary>
    public const int RipSlot = 17;

    /// <summary>RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, zero, RIP. They come first: the processor adds their offsets to the state's address.</summary>
    public fixed ulong Gpr[18];

    /// <summary>Flags; while a processor runs the arithmetic ones are stale here: read them through <c>Cpu.Flags</c>.</summary>
    public ulong Rflags;

    /// <summary>Result (sign-extended) and carries that the arithmetic flags derive from; see <c>X86Cpu.Flags</c>.</summary>
    public ulong LazyResult;
    public uint LazyCarries;

    public SegmentCache Es, Cs, Ss, Ds, Fs, Gs, Ldtr, Tr;
    public DescriptorTable Gdtr, Idtr;
    public ulong Cr0, Cr2, Cr3, Cr4, Cr8;

    /// <summary>The PAE page-directory-pointer registers.</summary>
    public fixed ulong Pdpte[4];
    public fixed ulong Dr[8];
    public ulong Efer, Star, Lstar, Cstar, Fmask, KernelGsBase;
    public ulong SysenterCs, SysenterEsp, SysenterEip;
    public ulong ApicBase, Pat, MiscEnable;
    public ulong TscOffset;

    /// <summary>x87 data registers as 80-bit values in physical (not stack) order, 16 bytes each; MMX aliases the low 64 bits.</summary>
    public fixed ulong Fpr[16];

    public ushort FpuControl, FpuStatus, FpuTag, FpuOpcode;
    public ulong FpuIp, FpuDp;
    public ushort FpuCs, FpuDs;
    public uint Mxcsr;

    /// <summary>XMM0..XMM15, two 64-bit halves each.</summary>
    public fixed ulong Xmm[32];

    /// <summary>STI / MOV SS shadow: interrupts (and #DB for MOV SS) are held off until after the next instruction.</summary>
    public InterruptShadow Shadow;

    public Activity Activity;

    /// <summary>NMI delivered and its IRET not yet seen.</summary>
    public byte NmiBlocked;

    /// <summary>In system management mode.</summary>
    public byte SystemManagement;

    /// <summary><see cref="NmiBlocked"/> of the program that the SMI interrupted.</summary>
    public byte NmiBlockedBefore;

    /// <summary>Where system management mode has its code and save area.</summary>
    public uint Smbase;

    public readonly bool InSystemManagement => SystemManagement != 0;

    public ulong Rip
    {
        readonly get => Gpr[RipSlot];
        set => Gpr[RipSlot] = value;
    }
}

public enum InterruptShadow : byte
{
    None = 0,
    Sti = 1,
    MovSs = 2,
}

public enum Activity : byte
{
    Active = 0,
    Halted = 1,

    /// <summary>Shutdown after a triple fault; only reset leaves it.</summary>
    Shutdown = 2,
    WaitForSipi = 3,
}

/// <summary>GDTR or IDTR.</summary>
public struct DescriptorTable
{
    public ulong Base;
    public uint Limit;
}

/// <summary>A segment register: the visible selector and the hidden descriptor cache.</summary>
public struct SegmentCache
{
    public ulong Base;

    /// <summary>Byte-granular limit (already scaled by G).</summary>
    public uint Limit;
    public ushort Selector;

    /// <summary>Access rights as in VMX: bits 0-3 type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G; 16 unusable.</summary>
    public uint Access;

    public readonly int Type => (int)(Access & 0xF);
    public readonly bool IsCodeOrData => (Access & 0x10) != 0;
    public readonly int Dpl => (int)(Access >> 5) & 3;
    public readonly bool Present => (Access & 0x80) != 0;
    public readonly bool Long => (Access & 0x2000) != 0;

    /// <summary>D for code, B for stack and expand-down data: 32-bit.</summary>
    public readonly bool Big => (Access & 0x4000) != 0;
    public readonly bool Granular => (Access & 0x8000) != 0;
    public readonly bool Unusable => (Access & 0x10000) != 0;
    public readonly bool IsCode => (Access & 0x18) == 0x18;
    public readonly bool Writable => (Access & 0x1A) == 0x12;
    public readonly bool Readable => (Access & 0x18) == 0x10 || (Access & 0x1A) == 0x1A;
    public readonly bool ExpandDown => (Access & 0x1C) == 0x14;
    public readonly bool Conforming => (Access & 0x1C) == 0x1C;

    /// <summary>What loading <paramref name="selector"/> in real or virtual-8086 mode gives (64 KiB, read/write).</summary>
    public static SegmentCache RealMode(ushort selector, bool code = false, int dpl = 0) => new()
    {
        Selector = selector,
        Base = (ulong)selector << 4,
        Limit = 0xFFFF,
        Access = (code ? 0x9Bu : 0x93u) | ((uint)dpl << 5),
    };
}
