using System.Buffers.Binary;
using System.Text;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions.SystemLevel;

/// <summary>CPUID, RDTSC, RDTSCP, RDMSR, WRMSR, RDPMC, and RSM and friends where they are undefined.</summary>
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
        InstructionTable.Register(Code.Rsm, &Undefined);
    }

    private static void Undefined(X86Cpu cpu, Op* op) => throw cpu.Fault(Vectors.UD);

    private static void Cpuid(X86Cpu cpu, Op* op)
    {
        (uint a, uint b, uint c, uint d) = Leaf(cpu, cpu.Reg<uint>(Eax));
        cpu.SetReg(Eax, a);
        cpu.SetReg(Ebx, b);
        cpu.SetReg(Ecx, c);
        cpu.SetReg(Edx, d);
    }

    /// <summary>One leaf; those beyond the highest basic one answer as the highest basic one does (SDM vol. 2, CPUID).</summary>
    private static (uint A, uint B, uint C, uint D) Leaf(X86Cpu cpu, uint leaf)
    {
        CpuModel model = cpu.Model;
        bool extended = leaf >= 0x80000000 && leaf <= model.MaxExtendedLeaf;
        if (!extended && leaf > model.MaxLeaf)
            leaf = model.MaxLeaf;
        switch (leaf)
        {
            case 0:
                {
                    byte[] vendor = Encoding.ASCII.GetBytes(model.Vendor);
                    return (model.MaxLeaf, Word(vendor, 0), Word(vendor, 8), Word(vendor, 4));
                }
            case 1:
                {
                    var features = (uint)model.Features;
                    if (model.Has(CpuFeatures.Apic) && (cpu.State->ApicBase & 0x800) == 0)
                        features &= ~(uint)CpuFeatures.Apic;
                    uint lineSize = model.Has(CpuFeatures.Clfsh) ? 8u << 8 : 0;
                    return (model.Signature, lineSize, (uint)model.Features2, features);
                }
            case 2:
                // Descriptor bytes of a P6: 4 KiB and 4 MiB TLBs, 16 KiB L1 caches, 256 KiB L2.
                return (0x03020101, 0, 0, 0x0C040842);
            case 0x80000000:
                return (model.MaxExtendedLeaf, 0, 0, 0);
            case 0x80000001:
                return (0, 0, (uint)((ulong)model.Features2 >> 32), (uint)((ulong)model.Features >> 32));
            case >= 0x80000002 and <= 0x80000004:
                {
                    var brand = new byte[48];
                    Encoding.ASCII.GetBytes(model.Brand, brand);
                    int at = (int)(leaf - 0x80000002) * 16;
                    return (Word(brand, at), Word(brand, at + 4), Word(brand, at + 8), Word(brand, at + 12));
                }
            case 0x80000008:
                return ((uint)cpu.Memory.AddressBits | (48u << 8), 0, 0, 0);
            default:
                return (0, 0, 0, 0);
        }
    }

    private static uint Word(byte[] text, int at) => BinaryPrimitives.ReadUInt32LittleEndian(text.AsSpan(at));

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
        if (cpu.Cpl != 0)
            throw cpu.Fault(Vectors.GP, 0);
        SetPair(cpu, cpu.ReadMsr(cpu.Reg<uint>(Ecx)));
    }

    private static void Wrmsr(X86Cpu cpu, Op* op)
    {
        if (cpu.Cpl != 0)
            throw cpu.Fault(Vectors.GP, 0);
        cpu.WriteMsr(cpu.Reg<uint>(Ecx), ((ulong)cpu.Reg<uint>(Edx) << 32) | cpu.Reg<uint>(Eax));
    }

    // Two counters that never count: what the P6 guest set up in its event selects does not happen here.
    private static void Rdpmc(X86Cpu cpu, Op* op)
    {
        bool allowed = cpu.Cpl == 0 || (cpu.State->Cr4 & ControlRegisters.Cr4PCE) != 0;
        if (!allowed || cpu.Model.Family != 6 || cpu.Reg<uint>(Ecx) > 1)
            throw cpu.Fault(Vectors.GP, 0);
        SetPair(cpu, cpu.ReadMsr(0xC1 + cpu.Reg<uint>(Ecx)));
    }

    private static void SetPair(X86Cpu cpu, ulong value)
    {
        cpu.SetReg(Eax, (uint)value);
        cpu.SetReg(Edx, (uint)(value >> 32));
    }
}
