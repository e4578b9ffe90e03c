using Farm.Assist.Cpu;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>A kind of memory operand, widened to a register on the way in.</summary>
internal unsafe interface IFpuOperand
{
    static abstract Float80 Load(X86Cpu cpu, Op* op, ref FloatEnvironment env);
}

internal readonly unsafe struct Real32 : IFpuOperand
{
    public static Float80 Load(X86Cpu cpu, Op* op, ref FloatEnvironment env) =>
        Float80Conversion.FromSingle(ref env, cpu.Read<uint>(op->Segment, cpu.Ea(op)));
}

internal readonly unsafe struct Real64 : IFpuOperand
{
    public static Float80 Load(X86Cpu cpu, Op* op, ref FloatEnvironment env) =>
        Float80Conversion.FromDouble(ref env, cpu.Read<ulong>(op->Segment, cpu.Ea(op)));
}

internal readonly unsafe struct Integer16 : IFpuOperand
{
    public static Float80 Load(X86Cpu cpu, Op* op, ref FloatEnvironment env) =>
        Float80.FromInteger(cpu.Read<short>(op->Segment, cpu.Ea(op)));
}

internal readonly unsafe struct Integer32 : IFpuOperand
{
    public static Float80 Load(X86Cpu cpu, Op* op, ref FloatEnvironment env) =>
        Float80.FromInteger(cpu.Read<int>(op->Segment, cpu.Ea(op)));
}

internal readonly unsafe struct Integer64 : IFpuOperand
{
    public static Float80 Load(X86Cpu cpu, Op* op, ref FloatEnvironment env) =>
        Float80.FromInteger(cpu.Read<long>(op->Segment, cpu.Ea(op)));
}

internal readonly unsafe struct Decimal80 : IFpuOperand
{
    public static Float80 Load(X86Cpu cpu, Op* op, ref FloatEnvironment env)
    {
        ulong ea = cpu.Ea(op);
        ushort high = cpu.Read<ushort>(op->Segment, (ea + 8) & op->AddressMask);
        return Float80Conversion.FromBcd(cpu.Read<ulong>(op->Segment, ea), high);
    }
}

/// <summary>How many times an instruction pops the stack.</summary>
internal interface IPops
{
    static abstract int Count { get; }
}

internal readonly struct NoPop : IPops
{
    public static int Count => 0;
}

internal readonly struct PopOnce : IPops
{
    public static int Count => 1;
}

internal readonly struct PopTwice : IPops
{
    public static int Count => 2;
}
