namespace Farm.Assist.Cpu;

/// <summary>EFLAGS/RFLAGS bits (SDM vol. 1, 3.4.3).</summary>
public static class Eflags
{
    public const uint CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, TF = 0x100, IF = 0x200, DF = 0x400, OF = 0x800;
    public const uint IoplMask = 0x3000, NT = 0x4000, RF = 0x10000, VM = 0x20000, AC = 0x40000, VIF = 0x80000, VIP = 0x100000, ID = 0x200000;
    public const uint Arithmetic = CF | PF | AF | ZF | SF | OF;
    public const uint Defined = Arithmetic | TF | IF | DF | IoplMask | NT | RF | VM | AC | VIF | VIP | ID;
    public const int IoplShift = 12;
}

/// <summary>Control register bits (SDM vol. 3, 2.5).</summary>
public static class ControlRegisters
{
    public const uint Cr0PE = 1, Cr0MP = 2, Cr0EM = 4, Cr0TS = 8, Cr0ET = 0x10, Cr0NE = 0x20, Cr0WP = 0x10000, Cr0AM = 0x40000;
    public const uint Cr0NW = 0x20000000, Cr0CD = 0x40000000, Cr0PG = 0x80000000;
    public const uint Cr4VME = 1, Cr4PVI = 2, Cr4TSD = 4, Cr4DE = 8, Cr4PSE = 0x10, Cr4PAE = 0x20, Cr4MCE = 0x40, Cr4PGE = 0x80, Cr4PCE = 0x100;
    public const uint Cr4OSFXSR = 0x200, Cr4OSXMMEXCPT = 0x400, Cr4UMIP = 0x800;
    public const uint EferSCE = 1, EferLME = 0x100, EferLMA = 0x400, EferNXE = 0x800;
}

/// <summary>Exception vectors (SDM vol. 3, table 6-1).</summary>
public static class Vectors
{
    public const byte DE = 0, DB = 1, NMI = 2, BP = 3, OF = 4, BR = 5, UD = 6, NM = 7, DF = 8, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14, MF = 16, AC = 17, MC = 18, XM = 19;
}

/// <summary>Segment registers in encoding order.</summary>
public enum Seg : byte
{
    Es,
    Cs,
    Ss,
    Ds,
    Fs,
    Gs,
}
