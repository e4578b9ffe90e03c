using System.Numerics;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.SystemLevel;

/// <summary>CLI, STI, PUSHF, POPF, HLT under IOPL, VME and PVI (SDM vol. 2; vol. 3, 20.3 and 20.4).</summary>
internal static unsafe class InterruptFlag
{
    public static void Register()
    {
        InstructionTable.Register(Code.Cli, &Cli);
        InstructionTable.Register(Code.Sti, &Sti);
        InstructionTable.Register(Code.Hlt, &Hlt);
        InstructionTable.Register(Code.Pushfw, &Pushf<ushort>);
        InstructionTable.Register(Code.Pushfd, &Pushf<uint>);
        InstructionTable.Register(Code.Pushfq, &Pushf<ulong>);
        InstructionTable.Register(Code.Popfw, &Popf<ushort>);
        InstructionTable.Register(Code.Popfd, &Popf<uint>);
        InstructionTable.Register(Code.Popfq, &Popf<ulong>);
    }

    private static bool OwnsInterruptFlag(X86Cpu cpu) => !cpu.ProtectedMode || cpu.Cpl <= cpu.Iopl;

    /// <summary>VME in virtual-8086 mode, PVI at CPL 3: IF stands for VIF.</summary>
    private static bool HasVirtualInterruptFlag(X86Cpu cpu)
    {
        uint needed = cpu.Vm86 ? ControlRegisters.Cr4VME : ControlRegisters.Cr4PVI;
        return cpu.Cpl == 3 && (cpu.State->Cr4 & needed) != 0;
    }

    private static void Cli(X86Cpu cpu, Op* op)
    {
        if (OwnsInterruptFlag(cpu))
            cpu.Flags &= ~Eflags.IF;
        else if (HasVirtualInterruptFlag(cpu))
            cpu.Flags &= ~Eflags.VIF;
        else
            cpu.Raise(Vectors.GP, 0);
    }

    private static void Sti(X86Cpu cpu, Op* op)
    {
        uint flags = cpu.Flags;
        if (OwnsInterruptFlag(cpu))
        {
            cpu.Flags = flags | Eflags.IF;
            if ((flags & Eflags.IF) == 0)
                cpu.State->Shadow = InterruptShadow.Sti;
        }
        else if (HasVirtualInterruptFlag(cpu) && (flags & Eflags.VIP) == 0)
        {
            cpu.Flags = flags | Eflags.VIF;
        }
        else
        {
            cpu.Raise(Vectors.GP, 0);
        }
    }

    private static void Hlt(X86Cpu cpu, Op* op)
    {
        if (cpu.RequireSupervisor())
            cpu.State->Activity = Activity.Halted;
    }

    private static void Pushf<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        uint flags = cpu.Flags & ~(Eflags.VM | Eflags.RF);
        if (cpu.Vm86 && cpu.Iopl < 3)
        {
            if (sizeof(T) != 2 || (cpu.State->Cr4 & ControlRegisters.Cr4VME) == 0)
            {
                cpu.Raise(Vectors.GP, 0);
                return;
            }
            flags = X86Cpu.VirtualFlagsImage(flags);
        }
        cpu.Push(T.CreateTruncating(flags));
    }

    private static void Popf<T>(X86Cpu cpu, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        uint loaded = Eflags.Arithmetic | Eflags.TF | Eflags.DF | Eflags.NT;
        if (sizeof(T) != 2)
            loaded |= Eflags.AC | Eflags.ID;
        bool virtualIf = cpu.Vm86 && cpu.Iopl < 3;
        if (virtualIf && (sizeof(T) != 2 || (cpu.State->Cr4 & ControlRegisters.Cr4VME) == 0))
        {
            cpu.Raise(Vectors.GP, 0);
            return;
        }
        var flags = uint.CreateTruncating(cpu.Peek<T>(0));
        if (virtualIf)
            flags = cpu.LoadVirtualInterruptFlag(flags, ref loaded);
        else if (OwnsInterruptFlag(cpu))
            loaded |= Eflags.IF;
        if (cpu.Cpl == 0)
            loaded |= Eflags.IoplMask;
        cpu.AdjustSp(sizeof(T));
        cpu.Flags = (cpu.Flags & ~(loaded | Eflags.RF)) | (flags & loaded);
    }
}
