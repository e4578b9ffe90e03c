using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Farm.Assist.Cpu;
using Farm.Assist.Instructions.Fpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.Simd;

/// <summary>ADD, SUB, MUL, DIV, MIN, MAX, SQRT, ADDSUB, HADD, HSUB; packed and scalar, single and double.</summary>
internal static unsafe class FloatArithmetic
{
    private interface IBinary
    {
        static abstract ulong Exact<T>(ref FloatEnvironment env, ulong a, ulong b)
            where T : struct, ILaneFormat;

        static abstract float Native(float a, float b);

        static abstract double Native(double a, double b);

        /// <summary>The native result is the operation's for ordinary operands.</summary>
        static abstract bool HasNative { get; }
    }

    public static void Register()
    {
        Rows<Add>(Code.Addps_xmm_xmmm128, Code.Addss_xmm_xmmm32, Code.Addpd_xmm_xmmm128, Code.Addsd_xmm_xmmm64);
        Rows<Subtract>(Code.Subps_xmm_xmmm128, Code.Subss_xmm_xmmm32, Code.Subpd_xmm_xmmm128, Code.Subsd_xmm_xmmm64);
        Rows<Multiply>(Code.Mulps_xmm_xmmm128, Code.Mulss_xmm_xmmm32, Code.Mulpd_xmm_xmmm128, Code.Mulsd_xmm_xmmm64);
        Rows<Divide>(Code.Divps_xmm_xmmm128, Code.Divss_xmm_xmmm32, Code.Divpd_xmm_xmmm128, Code.Divsd_xmm_xmmm64);
        Rows<Minimum>(Code.Minps_xmm_xmmm128, Code.Minss_xmm_xmmm32, Code.Minpd_xmm_xmmm128, Code.Minsd_xmm_xmmm64);
        Rows<Maximum>(Code.Maxps_xmm_xmmm128, Code.Maxss_xmm_xmmm32, Code.Maxpd_xmm_xmmm128, Code.Maxsd_xmm_xmmm64);
        Rows<SquareRoot>(Code.Sqrtps_xmm_xmmm128, Code.Sqrtss_xmm_xmmm32, Code.Sqrtpd_xmm_xmmm128, Code.Sqrtsd_xmm_xmmm64);
        InstructionTable.Register(Code.Addsubps_xmm_xmmm128, &AddSub32, &AddSub32Mem);
        InstructionTable.Register(Code.Addsubpd_xmm_xmmm128, &AddSub64, &AddSub64Mem);
        InstructionTable.Register(Code.Haddps_xmm_xmmm128, &Horizontal32<Add>, &Horizontal32Mem<Add>);
        InstructionTable.Register(Code.Hsubps_xmm_xmmm128, &Horizontal32<Subtract>, &Horizontal32Mem<Subtract>);
        InstructionTable.Register(Code.Haddpd_xmm_xmmm128, &Horizontal64<Add>, &Horizontal64Mem<Add>);
        InstructionTable.Register(Code.Hsubpd_xmm_xmmm128, &Horizontal64<Subtract>, &Horizontal64Mem<Subtract>);
    }

    private static void Rows<TOp>(Code ps, Code ss, Code pd, Code sd)
        where TOp : struct, IBinary
    {
        InstructionTable.Register(ps, &Packed32Reg<TOp>, &Packed32Mem<TOp>);
        InstructionTable.Register(ss, &Scalar32Reg<TOp>, &Scalar32Mem<TOp>);
        InstructionTable.Register(pd, &Packed64Reg<TOp>, &Packed64Mem<TOp>);
        InstructionTable.Register(sd, &Scalar64Reg<TOp>, &Scalar64Mem<TOp>);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Compute<TOp>(ref FloatEnvironment env, bool fast, uint a, uint b)
        where TOp : struct, IBinary
    {
        if (fast && TOp.HasNative && Lane<SingleFormat>.AreOrdinary(a, b))
        {
            uint result = BitConverter.SingleToUInt32Bits(TOp.Native(BitConverter.UInt32BitsToSingle(a), BitConverter.UInt32BitsToSingle(b)));
            if (Lane<SingleFormat>.IsSafeResult(result))
                return result;
        }
        return (uint)TOp.Exact<SingleFormat>(ref env, a, b);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Compute<TOp>(ref FloatEnvironment env, bool fast, ulong a, ulong b)
        where TOp : struct, IBinary
    {
        if (fast && TOp.HasNative && Lane<DoubleFormat>.AreOrdinary(a, b))
        {
            ulong result = BitConverter.DoubleToUInt64Bits(TOp.Native(BitConverter.UInt64BitsToDouble(a), BitConverter.UInt64BitsToDouble(b)));
            if (Lane<DoubleFormat>.IsSafeResult(result))
                return result;
        }
        return TOp.Exact<DoubleFormat>(ref env, a, b);
    }

    private static void Packed32Reg<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Packed32<TOp>(cpu, op, *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void Packed32Mem<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Packed32<TOp>(cpu, op, SimdUnit.ReadAligned(cpu, op));
    }

    private static void Packed32<TOp>(X86Cpu cpu, Op* op, Vector128<byte> source)
        where TOp : struct, IBinary
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        bool fast = SimdEnvironment.IsFast(cpu.State);
        Vector128<byte>* target = SimdUnit.Xmm(cpu.State, op->Reg0);
        Vector128<byte> result = default;
        for (int i = 0; i < 4; i++)
            ((uint*)&result)[i] = Compute<TOp>(ref env, fast, ((uint*)target)[i], ((uint*)&source)[i]);
        SimdEnvironment.Complete(cpu, env);
        *target = result;
    }

    private static void Packed64Reg<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Packed64<TOp>(cpu, op, *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void Packed64Mem<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Packed64<TOp>(cpu, op, SimdUnit.ReadAligned(cpu, op));
    }

    private static void Packed64<TOp>(X86Cpu cpu, Op* op, Vector128<byte> source)
        where TOp : struct, IBinary
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        bool fast = SimdEnvironment.IsFast(cpu.State);
        var target = (ulong*)SimdUnit.Xmm(cpu.State, op->Reg0);
        ulong low = Compute<TOp>(ref env, fast, target[0], ((ulong*)&source)[0]);
        ulong high = Compute<TOp>(ref env, fast, target[1], ((ulong*)&source)[1]);
        SimdEnvironment.Complete(cpu, env);
        target[0] = low;
        target[1] = high;
    }

    private static void Scalar32Reg<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Scalar32<TOp>(cpu, op, *(uint*)SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void Scalar32Mem<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Scalar32<TOp>(cpu, op, cpu.Read<uint>(op->Segment, cpu.Ea(op)));
    }

    private static void Scalar32<TOp>(X86Cpu cpu, Op* op, uint source)
        where TOp : struct, IBinary
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        var target = (uint*)SimdUnit.Xmm(cpu.State, op->Reg0);
        uint result = Compute<TOp>(ref env, SimdEnvironment.IsFast(cpu.State), *target, source);
        SimdEnvironment.Complete(cpu, env);
        *target = result;
    }

    private static void Scalar64Reg<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Scalar64<TOp>(cpu, op, *(ulong*)SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void Scalar64Mem<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Scalar64<TOp>(cpu, op, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
    }

    private static void Scalar64<TOp>(X86Cpu cpu, Op* op, ulong source)
        where TOp : struct, IBinary
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        var target = (ulong*)SimdUnit.Xmm(cpu.State, op->Reg0);
        ulong result = Compute<TOp>(ref env, SimdEnvironment.IsFast(cpu.State), *target, source);
        SimdEnvironment.Complete(cpu, env);
        *target = result;
    }

    private static void AddSub32(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        AddSub32(cpu, op, *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void AddSub32Mem(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        AddSub32(cpu, op, SimdUnit.ReadAligned(cpu, op));
    }

    private static void AddSub32(X86Cpu cpu, Op* op, Vector128<byte> source)
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        Vector128<byte>* target = SimdUnit.Xmm(cpu.State, op->Reg0);
        Vector128<byte> result = default;
        for (int i = 0; i < 4; i++)
            ((uint*)&result)[i] = (uint)LaneMath<SingleFormat>.Add(ref env, ((uint*)target)[i], ((uint*)&source)[i], subtract: i % 2 == 0);
        SimdEnvironment.Complete(cpu, env);
        *target = result;
    }

    private static void AddSub64(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        AddSub64(cpu, op, *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void AddSub64Mem(X86Cpu cpu, Op* op)
    {
        SimdUnit.BeginSse(cpu);
        AddSub64(cpu, op, SimdUnit.ReadAligned(cpu, op));
    }

    private static void AddSub64(X86Cpu cpu, Op* op, Vector128<byte> source)
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        var target = (ulong*)SimdUnit.Xmm(cpu.State, op->Reg0);
        ulong low = LaneMath<DoubleFormat>.Add(ref env, target[0], ((ulong*)&source)[0], subtract: true);
        ulong high = LaneMath<DoubleFormat>.Add(ref env, target[1], ((ulong*)&source)[1], subtract: false);
        SimdEnvironment.Complete(cpu, env);
        target[0] = low;
        target[1] = high;
    }

    private static void Horizontal32<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Horizontal32<TOp>(cpu, op, *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void Horizontal32Mem<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Horizontal32<TOp>(cpu, op, SimdUnit.ReadAligned(cpu, op));
    }

    private static void Horizontal32<TOp>(X86Cpu cpu, Op* op, Vector128<byte> source)
        where TOp : struct, IBinary
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        Vector128<byte>* target = SimdUnit.Xmm(cpu.State, op->Reg0);
        Vector128<byte> result = default;
        for (int i = 0; i < 4; i++)
        {
            uint* pair = (i < 2 ? (uint*)target : (uint*)&source) + (2 * (i & 1));
            ((uint*)&result)[i] = (uint)TOp.Exact<SingleFormat>(ref env, pair[0], pair[1]);
        }
        SimdEnvironment.Complete(cpu, env);
        *target = result;
    }

    private static void Horizontal64<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Horizontal64<TOp>(cpu, op, *SimdUnit.Xmm(cpu.State, op->Reg1));
    }

    private static void Horizontal64Mem<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IBinary
    {
        SimdUnit.BeginSse(cpu);
        Horizontal64<TOp>(cpu, op, SimdUnit.ReadAligned(cpu, op));
    }

    private static void Horizontal64<TOp>(X86Cpu cpu, Op* op, Vector128<byte> source)
        where TOp : struct, IBinary
    {
        FloatEnvironment env = SimdEnvironment.Of(cpu.State);
        var target = (ulong*)SimdUnit.Xmm(cpu.State, op->Reg0);
        ulong low = TOp.Exact<DoubleFormat>(ref env, target[0], target[1]);
        ulong high = TOp.Exact<DoubleFormat>(ref env, ((ulong*)&source)[0], ((ulong*)&source)[1]);
        SimdEnvironment.Complete(cpu, env);
        target[0] = low;
        target[1] = high;
    }

    private readonly struct Add : IBinary
    {
        public static bool HasNative => true;

        public static ulong Exact<T>(ref FloatEnvironment env, ulong a, ulong b)
            where T : struct, ILaneFormat => LaneMath<T>.Add(ref env, a, b, subtract: false);

        public static float Native(float a, float b) => a + b;

        public static double Native(double a, double b) => a + b;
    }

    private readonly struct Subtract : IBinary
    {
        public static bool HasNative => true;

        public static ulong Exact<T>(ref FloatEnvironment env, ulong a, ulong b)
            where T : struct, ILaneFormat => LaneMath<T>.Add(ref env, a, b, subtract: true);

        public static float Native(float a, float b) => a - b;

        public static double Native(double a, double b) => a - b;
    }

    private readonly struct Multiply : IBinary
    {
        public static bool HasNative => true;

        public static ulong Exact<T>(ref FloatEnvironment env, ulong a, ulong b)
            where T : struct, ILaneFormat => LaneMath<T>.Multiply(ref env, a, b);

        public static float Native(float a, float b) => a * b;

        public static double Native(double a, double b) => a * b;
    }

    private readonly struct Divide : IBinary
    {
        public static bool HasNative => true;

        public static ulong Exact<T>(ref FloatEnvironment env, ulong a, ulong b)
            where T : struct, ILaneFormat => LaneMath<T>.Divide(ref env, a, b);

        public static float Native(float a, float b) => a / b;

        public static double Native(double a, double b) => a / b;
    }

    private readonly struct Minimum : IBinary
    {
        public static bool HasNative => false;

        public static ulong Exact<T>(ref FloatEnvironment env, ulong a, ulong b)
            where T : struct, ILaneFormat => LaneMath<T>.Extreme(ref env, a, b, FloatOrder.Less);

        public static float Native(float a, float b) => 0;

        public static double Native(double a, double b) => 0;
    }

    private readonly struct Maximum : IBinary
    {
        public static bool HasNative => false;

        public static ulong Exact<T>(ref FloatEnvironment env, ulong a, ulong b)
            where T : struct, ILaneFormat => LaneMath<T>.Extreme(ref env, a, b, FloatOrder.Greater);

        public static float Native(float a, float b) => 0;

        public static double Native(double a, double b) => 0;
    }

    /// <summary>Of the second operand.</summary>
    private readonly struct SquareRoot : IBinary
    {
        public static bool HasNative => false;

        public static ulong Exact<T>(ref FloatEnvironment env, ulong a, ulong b)
            where T : struct, ILaneFormat => LaneMath<T>.SquareRoot(ref env, b);

        public static float Native(float a, float b) => 0;

        public static double Native(double a, double b) => 0;
    }
}
