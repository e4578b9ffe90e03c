using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Farm.Assist.Cpu;

// What the hot paths need precomputed from segment caches, control registers and EFLAGS.VM. Whoever changes a segment register
// calls SegmentLoaded; whoever changes CR0, CR4, EFER or EFLAGS.VM calls ModeChanged.
public sealed unsafe partial class X86Cpu
{
    private ulong _realModeCount;
    private ulong _realModeSince;
    private bool _inRealMode;

    /// <summary>The part of a segment that one compare can check.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Window
    {
        public ulong Base;

        /// <summary>FFFFFFFFh outside 64-bit mode.</summary>
        public ulong LinearMask;

        /// <summary>Offset + size must not exceed it for a read that needs no closer look; 0 when every read does.</summary>
        public ulong ReadEnd;
        public ulong WriteEnd;
    }

    private readonly Window* _windows = (Window*)NativeMemory.AllocZeroed(6, (nuint)sizeof(Window));

    /// <summary>EFLAGS as far as the mode depends on it, at the last <see cref="ModeChanged"/>.</summary>
    private uint _modeFlags;

    /// <summary>First code offset beyond CS's limit.</summary>
    private ulong _codeEnd;

    /// <summary>CS.D and CS.L as a decode mode: 16, 32 or 64.</summary>
    private int _codeBits = 16;
    private ulong _stackMask = 0xFFFF;
    private int _cpl;
    private bool _checkAlignment;

    /// <summary>Current privilege level: SS.DPL as in VMX (3 in virtual-8086 mode, 0 in real mode).</summary>
    public int Cpl
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _cpl;
    }

    public bool ProtectedMode
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (State->Cr0 & ControlRegisters.Cr0PE) != 0;
    }

    /// <summary>Virtual-8086 mode.</summary>
    public bool Vm86
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (State->Rflags & Eflags.VM) != 0;
    }

    /// <summary>Real or virtual-8086 mode: selectors are paragraphs.</summary>
    public bool SelectorsAreParagraphs
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => !ProtectedMode || Vm86;
    }

    /// <summary>IA-32e mode (EFER.LMA), 64-bit or compatibility.</summary>
    public bool LongModeActive
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (State->Efer & ControlRegisters.EferLMA) != 0;
    }

    /// <summary>64-bit mode proper: EFER.LMA and CS.L.</summary>
    public bool Mode64
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _codeBits == 64;
    }

    /// <summary>Default operand and address size of the code segment in bits: 16, 32 or 64 (the latter: address size).</summary>
    public int CodeBits
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _codeBits;
    }

    /// <summary>Stack address mask: FFFFh, FFFFFFFFh or all ones.</summary>
    public ulong StackMask
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _stackMask;
    }

    /// <summary>To be called after any change of a segment register's cache.</summary>
    public void SegmentLoaded(Seg segment)
    {
        if (segment == Seg.Cs)
        {
            int bits = CodeBitsOfCs;
            bool windowsChange = (bits == 64) != (_codeBits == 64);
            _codeBits = bits;
            _codeEnd = CodeEndOfCs;
            if (windowsChange)
                RefreshWindows();
            SelectContext();
        }
        else if (segment == Seg.Ss)
        {
            _cpl = State->Ss.Dpl;
            SelectContext();
        }
        _stackMask = StackMaskOfSs;
        RefreshWindow(segment, SelectorsAreParagraphs);
    }

    private int CodeBitsOfCs => LongModeActive && State->Cs.Long ? 64 : State->Cs.Big ? 32 : 16;

    private ulong CodeEndOfCs => _codeBits == 64 ? ulong.MaxValue : (ulong)State->Cs.Limit + 1;

    private ulong StackMaskOfSs => Mode64 ? ulong.MaxValue : State->Ss.Big ? 0xFFFFFFFF : 0xFFFFul;

    /// <summary>To be called after any change of CR0, CR4, EFER, DR7 or EFLAGS.VM/AC. Does not flush the TLB.</summary>
    public void ModeChanged()
    {
        _modeFlags = (uint)State->Rflags;
        CountRealMode();
        _codeBits = CodeBitsOfCs;
        _codeEnd = CodeEndOfCs;
        _cpl = State->Ss.Dpl;
        _stackMask = StackMaskOfSs;
        RefreshWindows();
        if (((uint)State->Rflags & (Eflags.TF | Eflags.RF)) != 0)
            _attention |= Attention.Trace;
        if (!ProtectedMode && !RealModeAllowed)
            _attention |= Attention.RealMode;
        else
            _attention &= ~Attention.RealMode;
        if (ProtectedMode && StopsAtProtectedMode)
            _attention |= Attention.ProtectedMode;
        else
            _attention &= ~Attention.ProtectedMode;
        SelectContext();
    }

    /// <summary>Of <see cref="InstructionCount"/>, those executed with CR0.PE clear.</summary>
    public ulong RealModeInstructions => _realModeCount + (_inRealMode && InstructionCount > _realModeSince ? InstructionCount - _realModeSince : 0);

    private void CountRealMode()
    {
        bool real = !ProtectedMode;
        if (real == _inRealMode)
            return;
        // The instruction that switches belongs to the mode it began in.
        ulong boundary = InstructionCount + (_op != null ? 1u : 0u);
        if (real)
            _realModeSince = boundary;
        else
            _realModeCount += boundary - _realModeSince;
        _inRealMode = real;
    }

    private void RefreshWindows()
    {
        bool paragraphs = SelectorsAreParagraphs;
        for (Seg s = Seg.Es; s <= Seg.Gs; s++)
            RefreshWindow(s, paragraphs);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void RefreshWindow(Seg segment, bool paragraphs)
    {
        ref SegmentCache cache = ref Segment(segment);
        Window* window = _windows + (int)segment;
        if (Mode64)
        {
            window->Base = segment >= Seg.Fs ? cache.Base : 0;
            window->LinearMask = ulong.MaxValue;
            window->ReadEnd = window->WriteEnd = ulong.MaxValue;
            return;
        }
        window->Base = cache.Base;
        window->LinearMask = 0xFFFFFFFF;
        ulong end = (ulong)cache.Limit + 1;
        if (paragraphs)
        {
            bool plain = !cache.Unusable && !cache.ExpandDown;
            window->ReadEnd = window->WriteEnd = plain ? end : 0;
        }
        else
        {
            bool plain = !cache.Unusable && cache.Present && !cache.ExpandDown;
            window->ReadEnd = plain && cache.Readable ? end : 0;
            window->WriteEnd = plain && cache.Writable ? end : 0;
        }
    }

    /// <summary>Picks the TLB and the jump-cache context for CPL, code size and checks in force.</summary>
    private void SelectContext()
    {
        bool user = _cpl == 3;
        _checkAlignment = user && (State->Cr0 & ControlRegisters.Cr0AM) != 0 && (State->Rflags & Eflags.AC) != 0;
        bool watch = (State->Dr[7] & 0xFF) != 0;
        _tlb = _tlbs + (_checkAlignment || watch ? 2 * TlbSize : user ? TlbSize : 0);
        if (watch)
            _attention |= Attention.Breakpoints;
        else
            _attention &= ~Attention.Breakpoints;
        _context = ((ulong)_codeBits << 48) | (user ? 1ul << 55 : 0) | (_generation << 56);
    }
}
