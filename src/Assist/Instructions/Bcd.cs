using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>DAA, DAS, AAA, AAS, AAM, AAD (SDM vol. 2). Not encodable in 64-bit mode. Undefined flags follow AL's result.</summary>
internal static unsafe class Bcd
{
    public static void Register()
    {
        InstructionTable.Register(Code.Daa, &Daa);
        InstructionTable.Register(Code.Das, &Das);
        InstructionTable.Register(Code.Aaa, &Aaa);
        InstructionTable.Register(Code.Aas, &Aas);
        InstructionTable.Register(Code.Aam_imm8, &Aam);
        InstructionTable.Register(Code.Aad_imm8, &Aad);
    }

    private static void Daa(X86Cpu cpu, Op* op)
    {
        byte before = cpu.Reg<byte>(Gpr.Ax);
        byte al = before;
        bool cf = cpu.Cf;
        bool low = (al & 0xF) > 9 || cpu.Af;
        bool high = before > 0x99 || cf;
        if (low)
            al += 6;
        if (high)
            al += 0x60;
        Finish(cpu, al, low, high);
    }

    private static void Das(X86Cpu cpu, Op* op)
    {
        byte before = cpu.Reg<byte>(Gpr.Ax);
        byte al = before;
        bool cf = cpu.Cf;
        bool low = (al & 0xF) > 9 || cpu.Af;
        bool high = before > 0x99 || cf;
        bool carry = high;
        if (low)
        {
            carry |= before < 6;
            al -= 6;
        }
        if (high)
            al -= 0x60;
        Finish(cpu, al, low, carry);
    }

    private static void Aaa(X86Cpu cpu, Op* op)
    {
        ushort ax = cpu.Reg<ushort>(Gpr.Ax);
        bool adjust = (ax & 0xF) > 9 || cpu.Af;
        if (adjust)
            ax += 0x106;
        cpu.SetReg(Gpr.Ax, (ushort)(ax & 0xFF0F));
        cpu.SetResult((byte)(ax & 0xF), adjust, false, adjust);
    }

    private static void Aas(X86Cpu cpu, Op* op)
    {
        ushort ax = cpu.Reg<ushort>(Gpr.Ax);
        bool adjust = (ax & 0xF) > 9 || cpu.Af;
        if (adjust)
            ax -= 0x106;
        cpu.SetReg(Gpr.Ax, (ushort)(ax & 0xFF0F));
        cpu.SetResult((byte)(ax & 0xF), adjust, false, adjust);
    }

    private static void Aam(X86Cpu cpu, Op* op)
    {
        byte radix = (byte)op->Imm;
        if (radix == 0)
        {
            cpu.Raise(Vectors.DE);
            return;
        }
        byte al = cpu.Reg<byte>(Gpr.Ax);
        byte low = (byte)(al % radix);
        cpu.SetReg(Gpr.Ax, (ushort)((al / radix << 8) | low));
        cpu.SetLogic(low);
    }

    private static void Aad(X86Cpu cpu, Op* op)
    {
        ushort ax = cpu.Reg<ushort>(Gpr.Ax);
        byte al = (byte)((ax >> 8) * (byte)op->Imm + ax);
        cpu.SetReg(Gpr.Ax, (ushort)al);
        cpu.SetLogic(al);
    }

    private static void Finish(X86Cpu cpu, byte al, bool af, bool cf)
    {
        cpu.SetReg(Gpr.Ax, al);
        cpu.SetResult(al, cf, false, af);
    }
}
