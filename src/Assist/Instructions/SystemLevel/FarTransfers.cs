using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.SystemLevel;

/// <summary>Far JMP, CALL and RET, INT and IRET, and the fast system calls.</summary>
internal static unsafe class FarTransfers
{
    public static void Register()
    {
        InstructionTable.Register(Code.Jmp_ptr1616, &JumpPointer<ushort>);
        InstructionTable.Register(Code.Jmp_ptr1632, &JumpPointer<uint>);
        InstructionTable.Register(Code.Jmp_m1616, &JumpMem<ushort>);
        InstructionTable.Register(Code.Jmp_m1632, &JumpMem<uint>);
        InstructionTable.Register(Code.Jmp_m1664, &JumpMem<ulong>);
        InstructionTable.Register(Code.Call_ptr1616, &CallPointer<ushort>);
        InstructionTable.Register(Code.Call_ptr1632, &CallPointer<uint>);
        InstructionTable.Register(Code.Call_m1616, &CallMem<ushort>);
        InstructionTable.Register(Code.Call_m1632, &CallMem<uint>);
        InstructionTable.Register(Code.Call_m1664, &CallMem<ulong>);
        InstructionTable.Register(Code.Retfw, &Return<ushort>);
        InstructionTable.Register(Code.Retfd, &Return<uint>);
        InstructionTable.Register(Code.Retfq, &Return<ulong>);
        InstructionTable.Register(Code.Retfw_imm16, &ReturnRelease<ushort>);
        InstructionTable.Register(Code.Retfd_imm16, &ReturnRelease<uint>);
        InstructionTable.Register(Code.Retfq_imm16, &ReturnRelease<ulong>);

        InstructionTable.Register(Code.Int_imm8, &Int);
        InstructionTable.Register(Code.Int3, &Int3);
        InstructionTable.Register(Code.Into, &Into);
        InstructionTable.Register(Code.Int1, &Int1);
        InstructionTable.Register(Code.Iretw, &Iret<ushort>);
        InstructionTable.Register(Code.Iretd, &Iret<uint>);
        InstructionTable.Register(Code.Iretq, &Iret<ulong>);

        InstructionTable.Register(Code.Sysenter, &Sysenter);
        InstructionTable.Register(Code.Sysexitd, &Sysexitd);
        InstructionTable.Register(Code.Sysexitq, &Sysexitq);
        InstructionTable.Register(Code.Syscall, &Syscall);
        InstructionTable.Register(Code.Sysretd, &Sysretd);
        InstructionTable.Register(Code.Sysretq, &Sysretq);
    }

    private static void JumpPointer<T>(X86Cpu cpu, Op* op)
        where T : unmanaged => cpu.FarJump(op->Imm2, Offset<T>(op));

    private static void CallPointer<T>(X86Cpu cpu, Op* op)
        where T : unmanaged => cpu.FarCall(op->Imm2, Offset<T>(op), sizeof(T));

    private static ulong Offset<T>(Op* op)
        where T : unmanaged => sizeof(T) == 2 ? (ushort)op->Imm : (uint)op->Imm;

    private static void JumpMem<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        ulong offset = ReadPointer<T>(cpu, op, out ushort selector);
        cpu.FarJump(selector, offset);
    }

    private static void CallMem<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        ulong offset = ReadPointer<T>(cpu, op, out ushort selector);
        cpu.FarCall(selector, offset, sizeof(T));
    }

    private static ulong ReadPointer<T>(X86Cpu cpu, Op* op, out ushort selector)
        where T : unmanaged, IBinaryInteger<T>
    {
        ulong ea = cpu.Ea(op);
        ulong offset = ulong.CreateTruncating(cpu.Read<T>(op->Segment, ea));
        selector = cpu.Read<ushort>(op->Segment, (ea + (ulong)sizeof(T)) & op->AddressMask);
        return offset;
    }

    private static void Return<T>(X86Cpu cpu, Op* op)
        where T : unmanaged => cpu.FarReturn(sizeof(T), 0);

    private static void ReturnRelease<T>(X86Cpu cpu, Op* op)
        where T : unmanaged => cpu.FarReturn(sizeof(T), (ushort)op->Imm);

    private static void Int(X86Cpu cpu, Op* op) => cpu.SoftwareInterrupt((byte)op->Imm);

    private static void Int3(X86Cpu cpu, Op* op) => cpu.DeliverEvent(Vectors.BP, EventKind.SoftwareInterrupt, false, 0);

    private static void Into(X86Cpu cpu, Op* op)
    {
        if (cpu.Of)
            cpu.DeliverEvent(Vectors.OF, EventKind.SoftwareInterrupt, false, 0);
    }

    private static void Int1(X86Cpu cpu, Op* op) => cpu.DeliverEvent(Vectors.DB, EventKind.Trap, false, 0);

    private static void Iret<T>(X86Cpu cpu, Op* op)
        where T : unmanaged => cpu.InterruptReturn(sizeof(T));

    private static void Sysenter(X86Cpu cpu, Op* op) => cpu.SystemEnter();

    private static void Sysexitd(X86Cpu cpu, Op* op) => cpu.SystemExit(wide: false);

    private static void Sysexitq(X86Cpu cpu, Op* op) => cpu.SystemExit(wide: true);

    private static void Syscall(X86Cpu cpu, Op* op) => cpu.SystemCall();

    private static void Sysretd(X86Cpu cpu, Op* op) => cpu.SystemReturn(wide: false);

    private static void Sysretq(X86Cpu cpu, Op* op) => cpu.SystemReturn(wide: true);
}
