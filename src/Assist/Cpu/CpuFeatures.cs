namespace Farm.Assist.Cpu;

/// <summary>
/// Feature flags as CPUID reports them: bits 0-31 are leaf 1 EDX, bits 32-63 leaf 80000001h EDX (only those that leaf 1 lacks).
/// SDM vol. 2, CPUID; AMD APM vol. 3, appendix E.
/// </summary>
[Flags]
public enum CpuFeatures : ulong
{
    None = 0,
    Fpu = 1u << 0,
    Vme = 1u << 1,
    De = 1u << 2,
    Pse = 1u << 3,
    Tsc = 1u << 4,
    Msr = 1u << 5,
    Pae = 1u << 6,
    Mce = 1u << 7,
    Cx8 = 1u << 8,
    Apic = 1u << 9,
    Sep = 1u << 11,
    Mtrr = 1u << 12,
    Pge = 1u << 13,
    Mca = 1u << 14,
    Cmov = 1u << 15,
    Pat = 1u << 16,
    Pse36 = 1u << 17,
    Clfsh = 1u << 19,
    Mmx = 1u << 23,
    Fxsr = 1u << 24,
    Sse = 1u << 25,
    Sse2 = 1u << 26,
    Syscall = 1ul << 43,
    Nx = 1ul << 52,
    Rdtscp = 1ul << 59,
    LongMode = 1ul << 61,
}

/// <summary>Feature flags, second set: bits 0-31 are CPUID leaf 1 ECX, bits 32-63 leaf 80000001h ECX.</summary>
[Flags]
public enum CpuFeatures2 : ulong
{
    None = 0,
    Sse3 = 1u << 0,
    Monitor = 1u << 3,
    Cx16 = 1u << 13,
    Popcnt = 1u << 23,
    Lahf64 = 1ul << 32,
}
