using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.SystemLevel;

/// <summary>LAR, LSL, VERR, VERW, ARPL: questions about selectors that answer in ZF and never fault on the selector itself.</summary>
internal static unsafe class SelectorChecks
{
    /// <summary>Bits of the second descriptor word that LAR shows: access byte, and AVL, L, D/B, G.</summary>
    private const uint LarMask = 0x00F0FF00;

    // By descriptor type, one bit each (SDM vol. 2, tables 3-52 and 3-53).
    private const uint LarTypes = 0b0001_1010_0011_1110, LarTypesLong = 0b0001_1010_0000_0100;
    private const uint LslTypes = 0b0000_1010_0000_1110, LslTypesLong = 0b0000_1010_0000_0100;

    public static void Register()
    {
        InstructionTable.Register(Code.Lar_r16_rm16, &Lar<ushort>, &LarMem<ushort>);
        InstructionTable.Register(Code.Lar_r32_r32m16, &Lar<uint>, &LarMem<uint>);
        InstructionTable.Register(Code.Lar_r64_r64m16, &Lar<ulong>, &LarMem<ulong>);
        InstructionTable.Register(Code.Lsl_r16_rm16, &Lsl<ushort>, &LslMem<ushort>);
        InstructionTable.Register(Code.Lsl_r32_r32m16, &Lsl<uint>, &LslMem<uint>);
        InstructionTable.Register(Code.Lsl_r64_r64m16, &Lsl<ulong>, &LslMem<ulong>);
        InstructionTable.Register(Code.Verr_rm16, &Verr, &VerrMem);
        InstructionTable.Register(Code.Verr_r32m16, &Verr, &VerrMem);
        InstructionTable.Register(Code.Verr_r64m16, &Verr, &VerrMem);
        InstructionTable.Register(Code.Verw_rm16, &Verw, &VerwMem);
        InstructionTable.Register(Code.Verw_r32m16, &Verw, &VerwMem);
        InstructionTable.Register(Code.Verw_r64m16, &Verw, &VerwMem);
        InstructionTable.Register(Code.Arpl_rm16_r16, &Arpl, &ArplMem);
        InstructionTable.Register(Code.Arpl_r32m16_r32, &Arpl, &ArplMem);
    }

    /// <summary>#UD in real and virtual-8086 mode.</summary>
    public static void RequireProtected(X86Cpu cpu)
    {
        if (cpu.SelectorsAreParagraphs)
            throw cpu.Fault(Vectors.UD);
    }

    private static ushort ReadSelector(X86Cpu cpu, Op* op)
    {
        RequireProtected(cpu);
        return cpu.Read<ushort>(op->Segment, cpu.Ea(op));
    }

    /// <summary>The descriptor of a selector that the program may look at, presence aside.</summary>
    private static bool TryFind(X86Cpu cpu, ushort selector, out Descriptor descriptor)
    {
        RequireProtected(cpu);
        descriptor = default;
        if (X86Cpu.IsNull(selector) || !cpu.TryReadDescriptor(selector, out descriptor))
            return false;
        return descriptor.IsConforming || (descriptor.Dpl >= cpu.Cpl && descriptor.Dpl >= (selector & 3));
    }

    private static bool HasType(in Descriptor descriptor, uint types) => !descriptor.IsSystem || ((types >> descriptor.Type) & 1) != 0;

    private static void Lar<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => LoadRights<T>(cpu, op, cpu.Reg<ushort>(op->Reg1));

    private static void LarMem<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => LoadRights<T>(cpu, op, ReadSelector(cpu, op));

    private static void LoadRights<T>(X86Cpu cpu, Op* op, ushort selector)
        where T : unmanaged, IBinaryInteger<T>
    {
        bool found = TryFind(cpu, selector, out Descriptor descriptor)
            && HasType(descriptor, cpu.LongModeActive ? LarTypesLong : LarTypes);
        if (found)
            cpu.SetReg(op->Reg0, T.CreateTruncating((uint)(descriptor.Raw >> 32) & LarMask));
        cpu.Zf = found;
    }

    private static void Lsl<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => LoadLimit<T>(cpu, op, cpu.Reg<ushort>(op->Reg1));

    private static void LslMem<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T> => LoadLimit<T>(cpu, op, ReadSelector(cpu, op));

    private static void LoadLimit<T>(X86Cpu cpu, Op* op, ushort selector)
        where T : unmanaged, IBinaryInteger<T>
    {
        bool found = TryFind(cpu, selector, out Descriptor descriptor)
            && HasType(descriptor, cpu.LongModeActive ? LslTypesLong : LslTypes);
        if (found)
            cpu.SetReg(op->Reg0, T.CreateTruncating(descriptor.Limit));
        cpu.Zf = found;
    }

    private static void Verr(X86Cpu cpu, Op* op) => VerifyRead(cpu, cpu.Reg<ushort>(op->Reg0));

    private static void VerrMem(X86Cpu cpu, Op* op) => VerifyRead(cpu, ReadSelector(cpu, op));

    private static void VerifyRead(X86Cpu cpu, ushort selector) =>
        cpu.Zf = TryFind(cpu, selector, out Descriptor descriptor) && !descriptor.IsSystem && descriptor.IsReadable;

    private static void Verw(X86Cpu cpu, Op* op) => VerifyWrite(cpu, cpu.Reg<ushort>(op->Reg0));

    private static void VerwMem(X86Cpu cpu, Op* op) => VerifyWrite(cpu, ReadSelector(cpu, op));

    private static void VerifyWrite(X86Cpu cpu, ushort selector) =>
        cpu.Zf = TryFind(cpu, selector, out Descriptor descriptor) && descriptor.IsWritableData;

    // In virtual-8086 mode Windows' monitor has it for its breakpoints.
    private static void Arpl(X86Cpu cpu, Op* op)
    {
        if (cpu.SelectorsAreParagraphs)
            cpu.Raise(Vectors.UD);
        else if (Adjust(cpu, cpu.Reg<ushort>(op->Reg0), cpu.Reg<ushort>(op->Reg1), out ushort adjusted))
            cpu.SetReg(op->Reg0, adjusted);
    }

    private static void ArplMem(X86Cpu cpu, Op* op)
    {
        if (cpu.SelectorsAreParagraphs)
        {
            cpu.Raise(Vectors.UD);
            return;
        }
        ushort selector = cpu.ReadRmw<ushort>(op->Segment, cpu.Ea(op));
        if (Adjust(cpu, selector, cpu.Reg<ushort>(op->Reg1), out ushort adjusted))
            cpu.WriteRmw(adjusted);
    }

    private static bool Adjust(X86Cpu cpu, ushort selector, ushort caller, out ushort adjusted)
    {
        bool lower = (selector & 3) < (caller & 3);
        adjusted = (ushort)((selector & ~3) | (caller & 3));
        cpu.Zf = lower;
        return lower;
    }
}
