using System.Numerics;
using System.Runtime.CompilerServices;

namespace Farm.Assist.Cpu;

// The arithmetic flags, never stored as such: instructions leave the result (sign-extended) and the carries out of each bit,
// readers derive the flag they need. LazyCarries holds the carry out of the top bit in bit 31, out of the one below in bit 30,
// out of bit 3 in bit 3; and, for flags set apart from a result, a parity correction in bits 8-15 and a sign correction in bit 0.
public sealed unsafe partial class X86Cpu
{
    private const uint CarryOut = 0x80000000, CarryIn = 0x40000000, HalfCarry = 8, SignDelta = 1;

    /// <summary>All flags, materialised. The setter replaces every bit (reserved bits are the caller's business).</summary>
    public uint Flags
    {
        get
        {
            uint flags = ((uint)State->Rflags & ~Eflags.Arithmetic) | ArithmeticFlags;
            State->Rflags = flags;
            return flags;
        }
        set
        {
            State->Rflags = value;
            ArithmeticFlags = value;
            if ((value & (Eflags.TF | Eflags.RF)) != 0)
                _attention |= Attention.Trace;
            if (((value ^ _modeFlags) & (Eflags.VM | Eflags.AC)) != 0)
                ModeChanged();
        }
    }

    /// <summary>CF PF AF ZF SF OF in their places in EFLAGS.</summary>
    public uint ArithmeticFlags
    {
        get
        {
            uint carries = State->LazyCarries;
            uint flags = carries >> 31;
            flags |= (carries & HalfCarry) << 1;
            flags |= ((carries ^ (carries << 1)) >> 31) << 11;
            if (State->LazyResult == 0)
                flags |= Eflags.ZF;
            if (Sf)
                flags |= Eflags.SF;
            if (Pf)
                flags |= Eflags.PF;
            return flags;
        }
        set
        {
            // Without a branch. Bit 8 makes the result non-zero and leaves its low byte, and with it PF, alone.
            State->LazyResult = (~value & Eflags.ZF) << 2;
            uint parity = (~value & Eflags.PF) << 6, sign = (value & Eflags.SF) >> 7;
            State->LazyCarries = (value << 31) | (((value ^ (value >> 11)) & 1) << 30) | ((value & Eflags.AF) >> 1) | parity | sign;
        }
    }

    public bool Cf
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (int)State->LazyCarries < 0;
        set
        {
            uint of = OverflowBit;
            uint cf = value ? 1u : 0;
            State->LazyCarries = (State->LazyCarries & ~(CarryOut | CarryIn)) | (cf << 31) | ((cf ^ of) << 30);
        }
    }

    public bool Of
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => OverflowBit != 0;
        set
        {
            uint cf = State->LazyCarries >> 31;
            State->LazyCarries = (State->LazyCarries & ~CarryIn) | ((cf ^ (value ? 1u : 0)) << 30);
        }
    }

    public bool Zf
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => State->LazyResult == 0;
        set
        {
            if (value != Zf)
                ArithmeticFlags = value ? ArithmeticFlags | Eflags.ZF : ArithmeticFlags & ~Eflags.ZF;
        }
    }

    public bool Sf
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ((uint)(State->LazyResult >> 63) ^ (State->LazyCarries & SignDelta)) != 0;
    }

    public bool Pf
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (BitOperations.PopCount((byte)(State->LazyResult ^ (State->LazyCarries >> 8))) & 1) == 0;
    }

    public bool Af
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (State->LazyCarries & HalfCarry) != 0;
        set => State->LazyCarries = value ? State->LazyCarries | HalfCarry : State->LazyCarries & ~HalfCarry;
    }

    private uint OverflowBit
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (State->LazyCarries ^ (State->LazyCarries << 1)) >> 31;
    }

    /// <summary>ADD and ADC: all six flags of <paramref name="result"/> = a + b (+ carry in, which the result tells).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetAdd<T>(T a, T b, T result) where T : unmanaged, IBinaryInteger<T> =>
        SetLazy(result, (a & b) | ((a | b) & ~result));

    /// <summary>SUB, SBB, CMP, NEG (a = 0): all six flags of <paramref name="result"/> = a - b (- borrow in).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetSub<T>(T a, T b, T result) where T : unmanaged, IBinaryInteger<T> =>
        SetLazy(result, (~a & b) | (~(a ^ b) & result));

    /// <summary>AND, OR, XOR, TEST: CF, OF and AF clear, the rest by result.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetLogic<T>(T result) where T : unmanaged, IBinaryInteger<T>
    {
        CpuState* state = State;
        state->LazyResult = SignExtend(result);
        state->LazyCarries = 0;
    }

    /// <summary>ZF, SF and PF by result, the others as given (shifts, multiplications, bit tests).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetResult<T>(T result, bool cf, bool of, bool af = false) where T : unmanaged, IBinaryInteger<T>
    {
        CpuState* state = State;
        state->LazyResult = SignExtend(result);
        state->LazyCarries = (cf ? CarryOut : 0) | (cf != of ? CarryIn : 0) | (af ? HalfCarry : 0);
    }

    /// <summary>INC: as an addition of 1, CF kept.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetInc<T>(T result) where T : unmanaged, IBinaryInteger<T>
    {
        bool overflow = result == T.One << ((sizeof(T) * 8) - 1);
        SetResult(result, Cf, overflow, (result & T.CreateTruncating(0xF)) == T.Zero);
    }

    /// <summary>DEC: as a subtraction of 1, CF kept.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetDec<T>(T result) where T : unmanaged, IBinaryInteger<T>
    {
        bool overflow = result == (T.One << ((sizeof(T) * 8) - 1)) - T.One;
        SetResult(result, Cf, overflow, (result & T.CreateTruncating(0xF)) == T.CreateTruncating(0xF));
    }

    /// <summary>Condition code 0-15 as encoded in Jcc, SETcc and CMOVcc (SDM vol. 1, appendix B). Folds when the code is a constant.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Condition(int cc)
    {
        bool met = (cc >> 1) switch
        {
            0 => Of,
            1 => Cf,
            2 => Zf,
            3 => Cf | Zf,
            4 => Sf,
            5 => Pf,
            6 => Sf != Of,
            _ => Zf | (Sf != Of),
        };
        return met != ((cc & 1) != 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void SetLazy<T>(T result, T carries) where T : unmanaged, IBinaryInteger<T>
    {
        CpuState* state = State;
        state->LazyResult = SignExtend(result);
        ulong wide = ZeroExtend(carries);
        state->LazyCarries = sizeof(T) switch
        {
            1 => (uint)(wide << 24) | ((uint)wide & HalfCarry),
            2 => (uint)(wide << 16 & (CarryOut | CarryIn)) | ((uint)wide & HalfCarry),
            4 => (uint)wide & (CarryOut | CarryIn | HalfCarry),
            _ => (uint)(wide >> 32 & (CarryOut | CarryIn)) | ((uint)wide & HalfCarry),
        };
    }

    /// <summary>The value sign-extended from its own width, whether T is signed or not.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong SignExtend<T>(T value) where T : unmanaged => sizeof(T) switch
    {
        1 => (ulong)(long)Unsafe.BitCast<T, sbyte>(value),
        2 => (ulong)(long)Unsafe.BitCast<T, short>(value),
        4 => (ulong)(long)Unsafe.BitCast<T, int>(value),
        _ => Unsafe.BitCast<T, ulong>(value),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong ZeroExtend<T>(T value) where T : unmanaged => sizeof(T) switch
    {
        1 => Unsafe.BitCast<T, byte>(value),
        2 => Unsafe.BitCast<T, ushort>(value),
        4 => Unsafe.BitCast<T, uint>(value),
        _ => Unsafe.BitCast<T, ulong>(value),
    };
}
