using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;

namespace Farm.Assist.Instructions.Fpu;

/// <summary>
/// The x87 register stack, its words and its exceptions over <see cref="CpuState"/> (SDM vol. 1, chapter 8). Tags hold only
/// "empty" (3) or not; the others are worked out when they are stored.
/// </summary>
internal static unsafe class FpuUnit
{
    public const ushort C0 = 0x100, C1 = 0x200, C2 = 0x400, C3 = 0x4000, ConditionCodes = C0 | C1 | C2 | C3;
    public const ushort Summary = 0x80, Busy = 0x8000;
    public const ushort InitialControl = 0x37F;
    private const int TopShift = 11;
    private const int Empty = 3;

    /// <summary>
    /// What every waiting instruction starts with: #NM, and the pending exceptions of earlier instructions as #MF or through
    /// FERR#. False: the processor is frozen before the instruction until an interrupt.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Ready(X86Cpu cpu)
    {
        RequireAvailable(cpu);
        return (cpu.State->FpuStatus & Summary) == 0 || cpu.TakeMathFault();
    }

    /// <summary><see cref="Ready"/> and <see cref="Note"/> for an instruction on registers, which cannot fault in between.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Begin(X86Cpu cpu, Op* op)
    {
        if (!Ready(cpu))
            return false;
        Note(cpu, op);
        return true;
    }

    /// <summary>Keeps the instruction's address and opcode; control instructions leave them alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Note(X86Cpu cpu, Op* op)
    {
        CpuState* state = cpu.State;
        state->FpuIp = cpu.InstructionStart;
        state->FpuCs = state->Cs.Selector;
        state->FpuOpcode = op->Imm2;
    }

    /// <summary>As <see cref="Note"/>, with the address of the memory operand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void NoteMemory(X86Cpu cpu, Op* op)
    {
        Note(cpu, op);
        cpu.State->FpuDp = cpu.Ea(op);
        cpu.State->FpuDs = cpu.Segment(op->Segment).Selector;
    }

    /// <summary>#NM for any ESC instruction while CR0.EM or TS is set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void RequireAvailable(X86Cpu cpu)
    {
        if ((cpu.State->Cr0 & (ControlRegisters.Cr0EM | ControlRegisters.Cr0TS)) != 0)
            throw cpu.Fault(Vectors.NM);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatEnvironment Environment(CpuState* state) => new()
    {
        Rounding = (Rounding)((state->FpuControl >> 10) & 3),
        Precision = ((state->FpuControl >> 8) & 3) switch { 0 => 24, 2 => 53, _ => 64 },
        Masked = state->FpuControl & FloatException.All,
    };

    public static int Top(CpuState* state) => (state->FpuStatus >> TopShift) & 7;

    public static void SetTop(CpuState* state, int top) =>
        state->FpuStatus = (ushort)((state->FpuStatus & ~(7 << TopShift)) | ((top & 7) << TopShift));

    /// <summary>Physical number of ST(i).</summary>
    public static int Physical(CpuState* state, int index) => (Top(state) + index) & 7;

    public static bool IsEmpty(CpuState* state, int index) => ((state->FpuTag >> (Physical(state, index) * 2)) & 3) == Empty;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float80 Read(CpuState* state, int index) => ReadPhysical(state, Physical(state, index));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float80 ReadPhysical(CpuState* state, int physical) =>
        new((ushort)state->Fpr[(physical * 2) + 1], state->Fpr[physical * 2]);

    /// <summary>Writes ST(i) and marks it full.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(CpuState* state, int index, Float80 value)
    {
        int physical = Physical(state, index);
        WritePhysical(state, physical, value);
        state->FpuTag &= (ushort)~(3 << (physical * 2));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WritePhysical(CpuState* state, int physical, Float80 value)
    {
        state->Fpr[physical * 2] = value.Mantissa;
        state->Fpr[(physical * 2) + 1] = value.SignExponent;
    }

    public static void Free(CpuState* state, int index) => state->FpuTag |= (ushort)(Empty << (Physical(state, index) * 2));

    public static void Pop(CpuState* state)
    {
        Free(state, 0);
        SetTop(state, Top(state) + 1);
    }

    /// <summary>Pushes a value; the caller has made sure that there is room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Push(CpuState* state, Float80 value)
    {
        SetTop(state, Top(state) - 1);
        Write(state, 0, value);
    }

    public static void SetConditions(CpuState* state, int mask, int value) =>
        state->FpuStatus = (ushort)((state->FpuStatus & ~mask) | value);

    public static void ClearC1(CpuState* state) => state->FpuStatus &= unchecked((ushort)~C1);

    /// <summary>
    /// Records the exceptions of an operation with a register as destination, C1 included. False: one of them is unmasked and of the
    /// kind that keeps the operation from taking effect.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Complete(X86Cpu cpu, in FloatEnvironment env)
    {
        CpuState* state = cpu.State;
        uint raised = Report(state, env);
        uint unmasked = raised & ~env.Masked;
        return (unmasked & (FloatException.Invalid | FloatException.ZeroDivide | FloatException.Denormal)) == 0;
    }

    /// <summary>
    /// For memory as destination: false when an unmasked exception, overflow and underflow included, keeps the store back. Records
    /// nothing yet: the store may fault.
    /// </summary>
    public static bool Stores(in FloatEnvironment env) => (Effective(env) & ~env.Masked & ~FloatException.Precision) == 0;

    /// <summary>Stack underflow (or overflow): invalid operation with SF. True when it is masked.</summary>
    public static bool StackFault(X86Cpu cpu, bool overflow = false)
    {
        CpuState* state = cpu.State;
        SetConditions(state, C1, overflow ? C1 : 0);
        state->FpuStatus |= (ushort)(FloatException.Invalid | FloatException.StackFault);
        bool masked = (state->FpuControl & FloatException.Invalid) != 0;
        if (!masked)
            state->FpuStatus |= Summary | Busy;
        return masked;
    }

    /// <summary>After the control or status word was loaded: the summary bit follows from exceptions and masks.</summary>
    public static void UpdateSummary(X86Cpu cpu)
    {
        CpuState* state = cpu.State;
        if ((state->FpuStatus & ~state->FpuControl & FloatException.All) != 0)
            state->FpuStatus |= Summary | Busy;
        else
            state->FpuStatus &= unchecked((ushort)~(Summary | Busy));
        cpu.UpdateFerr();
    }

    public static void Initialize(X86Cpu cpu)
    {
        CpuState* state = cpu.State;
        state->FpuControl = InitialControl;
        state->FpuStatus = 0;
        state->FpuTag = 0xFFFF;
        state->FpuIp = state->FpuDp = 0;
        state->FpuCs = state->FpuDs = state->FpuOpcode = 0;
        cpu.UpdateFerr();
    }

    /// <summary>The tag word as FSTENV stores it: valid, zero, special or empty for each physical register.</summary>
    public static ushort FullTags(CpuState* state)
    {
        int tags = 0;
        for (int i = 0; i < 8; i++)
        {
            int tag = (state->FpuTag >> (i * 2)) & 3;
            if (tag != Empty)
                tag = ReadPhysical(state, i).Kind switch { FloatKind.Zero => 1, FloatKind.Normal => 0, _ => 2 };
            tags |= tag << (i * 2);
        }
        return (ushort)tags;
    }

    /// <summary>Folds a stored tag word to "empty or not".</summary>
    public static ushort FoldTags(ushort tags)
    {
        int folded = 0;
        for (int i = 0; i < 16; i += 2)
        {
            if (((tags >> i) & 3) == Empty)
                folded |= Empty << i;
        }
        return (ushort)folded;
    }

    /// <summary>Records the exceptions of an operation and C1; returns those that count.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Report(CpuState* state, in FloatEnvironment env)
    {
        uint raised = Effective(env);
        bool up = env.RoundedUp && (raised & FloatException.Precision) != 0;
        SetConditions(state, C1, up ? C1 : 0);
        state->FpuStatus |= (ushort)raised;
        if ((raised & ~env.Masked) != 0)
            state->FpuStatus |= Summary | Busy;
        return raised;
    }

    /// <summary>Raised exceptions by their precedence: an invalid operation or a division by zero comes alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Effective(in FloatEnvironment env)
    {
        if ((env.Raised & FloatException.Invalid) != 0)
            return FloatException.Invalid;
        if ((env.Raised & FloatException.ZeroDivide) != 0)
            return FloatException.ZeroDivide;
        return (env.Raised & ~env.Masked & FloatException.Denormal) != 0 ? FloatException.Denormal : env.Raised;
    }
}
