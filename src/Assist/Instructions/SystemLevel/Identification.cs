using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.SystemLevel;

/// <summary>CPUID, RDTSC, RDTSCP, RDMSR, WRMSR, RDPMC, RSM.</summary>
internal static unsafe class Identification
{
    private const int Eax = 0, Ecx = 1, Edx = 2, Ebx = 3;

    public static void Register()
    {
        InstructionTable.Register(Code.Cpuid, &Cpuid);
        InstructionTable.Register(Code.Rdtsc, &Rdtsc);
        InstructionTable.Register(Code.Rdtscp, &Rdtscp);
        InstructionTable.Register(Code.Rdmsr, &Rdmsr);
        InstructionTable.Register(Code.Wrmsr, &Wrmsr);
        InstructionTable.Register(Code.Rdpmc, &Rdpmc);
        InstructionTable.Register(Code.Rsm, &Rsm);
    }

    private static void Rsm(X86Cpu cpu, Op* op) => cpu.ResumeFromSystemManagement();

    private static void Cpuid(X86Cpu cpu, Op* op)
    {
        (uint a, uint b, uint c, uint d) = Leaf(cpu, cpu.Reg<uint>(Eax));
        cpu.SetReg(Eax, a);
        cpu.SetReg(Ebx, b);
        cpu.SetReg(Ecx, c);
        cpu.SetReg(Edx, d);
    }

    /// <summary>The model's leaf, with the APIC's identity; CPUID shows no APIC while IA32_APIC_BASE has it disabled.</summary>
    private static (uint A, uint B, uint C, uint D) Leaf(X86Cpu cpu, uint leaf)
    {
        var values = cpu.Model.Leaf(leaf, cpu.Memory.AddressBits);
        if (leaf != 1 || !cpu.Model.Has(CpuFeatures.Apic))
            return values;
        values.B |= (uint)cpu.ApicId << 24;
        if ((cpu.State->ApicBase & 0x800) == 0)
            values.D &= ~(uint)CpuFeatures.Apic;
        return values;
    }

    private static void Rdtsc(X86Cpu cpu, Op* op)
    {
        if ((cpu.State->Cr4 & ControlRegisters.Cr4TSD) != 0 && cpu.Cpl != 0)
            throw cpu.Fault(Vectors.GP, 0);
        SetPair(cpu, cpu.TimeStamp);
    }

    private static void Rdtscp(X86Cpu cpu, Op* op)
    {
        Rdtsc(cpu, op);
        cpu.SetReg(Ecx, (uint)cpu.ReadMsr(0xC0000103));
    }

    private static void Rdmsr(X86Cpu cpu, Op* op)
    {
        if (cpu.RequireSupervisor())
            SetPair(cpu, cpu.ReadMsr(cpu.Reg<uint>(Ecx)));
    }

    private static void Wrmsr(X86Cpu cpu, Op* op)
    {
        if (cpu.RequireSupervisor())
            cpu.WriteMsr(cpu.Reg<uint>(Ecx), ((ulong)cpu.Reg<uint>(Edx) << 32) | cpu.Reg<uint>(Eax));
    }

    // Two counters that never count: what the P6 guest set up in its event selects does not happen here.
    private static void Rdpmc(X86Cpu cpu, Op* op)
    {
        bool allowed = cpu.Cpl == 0 || (cpu.State->Cr4 & ControlRegisters.Cr4PCE) != 0;
        if (!allowed || !cpu.Model.PerformanceCounters || cpu.Reg<uint>(Ecx) > 1)
            throw cpu.Fault(Vectors.GP, 0);
        SetPair(cpu, cpu.ReadMsr(0xC1 + cpu.Reg<uint>(Ecx)));
    }

    private static void SetPair(X86Cpu cpu, ulong value)
    {
        cpu.SetReg(Eax, (uint)value);
        cpu.SetReg(Edx, (uint)(value >> 32));
    }
}
