using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.SystemLevel;

/// <summary>MOV, PUSH and POP of segment registers; LES, LDS, LSS, LFS, LGS.</summary>
internal static unsafe class SegmentMoves
{
    public static void Register()
    {
        InstructionTable.Register(Code.Mov_rm16_Sreg, &Store<ushort>, &StoreMem);
        InstructionTable.Register(Code.Mov_r32m16_Sreg, &Store<uint>, &StoreMem);
        InstructionTable.Register(Code.Mov_r64m16_Sreg, &Store<ulong>, &StoreMem);
        InstructionTable.Register(Code.Mov_Sreg_rm16, &Load, &LoadMem);
        InstructionTable.Register(Code.Mov_Sreg_r32m16, &Load, &LoadMem);
        InstructionTable.Register(Code.Mov_Sreg_r64m16, &Load, &LoadMem);

        PushPop<ushort>([Code.Pushw_ES, Code.Pushw_CS, Code.Pushw_SS, Code.Pushw_DS, Code.Pushw_FS, Code.Pushw_GS],
            [Code.Popw_ES, Code.Popw_CS, Code.Popw_SS, Code.Popw_DS, Code.Popw_FS, Code.Popw_GS]);
        PushPop<uint>([Code.Pushd_ES, Code.Pushd_CS, Code.Pushd_SS, Code.Pushd_DS, Code.Pushd_FS, Code.Pushd_GS],
            [Code.Popd_ES, Code.INVALID, Code.Popd_SS, Code.Popd_DS, Code.Popd_FS, Code.Popd_GS]);
        PushPop<ulong>([Code.Pushq_FS, Code.Pushq_GS], [Code.Popq_FS, Code.Popq_GS]);

        InstructionTable.Register(Code.Les_r16_m1616, &LoadFar<ushort, Es>);
        InstructionTable.Register(Code.Les_r32_m1632, &LoadFar<uint, Es>);
        InstructionTable.Register(Code.Lds_r16_m1616, &LoadFar<ushort, Ds>);
        InstructionTable.Register(Code.Lds_r32_m1632, &LoadFar<uint, Ds>);
        InstructionTable.Register(Code.Lss_r16_m1616, &LoadFar<ushort, Ss>);
        InstructionTable.Register(Code.Lss_r32_m1632, &LoadFar<uint, Ss>);
        InstructionTable.Register(Code.Lss_r64_m1664, &LoadFar<ulong, Ss>);
        InstructionTable.Register(Code.Lfs_r16_m1616, &LoadFar<ushort, Fs>);
        InstructionTable.Register(Code.Lfs_r32_m1632, &LoadFar<uint, Fs>);
        InstructionTable.Register(Code.Lfs_r64_m1664, &LoadFar<ulong, Fs>);
        InstructionTable.Register(Code.Lgs_r16_m1616, &LoadFar<ushort, Gs>);
        InstructionTable.Register(Code.Lgs_r32_m1632, &LoadFar<uint, Gs>);
        InstructionTable.Register(Code.Lgs_r64_m1664, &LoadFar<ulong, Gs>);
    }

    private static void PushPop<T>(ReadOnlySpan<Code> push, ReadOnlySpan<Code> pop)
        where T : unmanaged, IBinaryInteger<T>
    {
        foreach (Code code in push)
            InstructionTable.Register(code, &Push<T>);
        foreach (Code code in pop)
            InstructionTable.Register(code, &Pop<T>);
        InstructionTable.Register(Code.Popw_CS, &Undefined);
    }

    private static void Undefined(X86Cpu cpu, Op* op) => cpu.Raise(Vectors.UD);

    private static void Store<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> =>
        cpu.SetReg(op->Reg0, T.CreateTruncating(cpu.Segment((Seg)op->Reg1).Selector));

    private static void StoreMem(X86Cpu cpu, Op* op) =>
        cpu.Write(op->Segment, cpu.Ea(op), cpu.Segment((Seg)op->Reg1).Selector);

    private static void Load(X86Cpu cpu, Op* op) => Load(cpu, op, cpu.Reg<ushort>(op->Reg1));

    private static void LoadMem(X86Cpu cpu, Op* op) => Load(cpu, op, cpu.Read<ushort>(op->Segment, cpu.Ea(op)));

    private static void Load(X86Cpu cpu, Op* op, ushort selector)
    {
        var seg = (Seg)op->Reg0;
        if (seg == Seg.Cs)
            throw cpu.Fault(Vectors.UD);
        cpu.LoadSegment(seg, selector);
        if (seg == Seg.Ss)
            cpu.State->Shadow = InterruptShadow.MovSs;
    }

    private static void Push<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> =>
        cpu.Push(T.CreateTruncating(cpu.Segment((Seg)op->Reg0).Selector));

    // The stack pointer moves by the stack's old width: POP SS may change it.
    private static void Pop<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        var seg = (Seg)op->Reg0;
        ulong mask = cpu.StackMask, sp = cpu.State->Gpr[Rsp];
        var selector = ushort.CreateTruncating(cpu.Peek<T>(0));
        cpu.LoadSegment(seg, selector);
        cpu.State->Gpr[Rsp] = (sp & ~mask) | ((sp + (ulong)sizeof(T)) & mask);
        if (seg == Seg.Ss)
            cpu.State->Shadow = InterruptShadow.MovSs;
    }

    private const int Rsp = 4;

    private interface ISegment
    {
        static abstract Seg Seg { get; }
    }

    private readonly struct Es : ISegment
    {
        public static Seg Seg => Seg.Es;
    }

    private readonly struct Ds : ISegment
    {
        public static Seg Seg => Seg.Ds;
    }

    private readonly struct Ss : ISegment
    {
        public static Seg Seg => Seg.Ss;
    }

    private readonly struct Fs : ISegment
    {
        public static Seg Seg => Seg.Fs;
    }

    private readonly struct Gs : ISegment
    {
        public static Seg Seg => Seg.Gs;
    }

    private static void LoadFar<T, TSegment>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
        where TSegment : struct, ISegment
    {
        ulong ea = cpu.Ea(op);
        T offset = cpu.Read<T>(op->Segment, ea);
        ushort selector = cpu.Read<ushort>(op->Segment, (ea + (ulong)sizeof(T)) & op->AddressMask);
        cpu.LoadSegment(TSegment.Seg, selector);
        cpu.SetReg(op->Reg0, offset);
    }
}
