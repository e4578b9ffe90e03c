using System.Runtime.CompilerServices;
using Iced.Intel;

namespace Farm.Assist.Cpu;

/// <summary>A named guest processor: its CPUID and, with it, the instructions it knows.</summary>
public sealed partial record CpuModel
{
    private const CpuFeatures Pentium1 = CpuFeatures.Fpu | CpuFeatures.Vme | CpuFeatures.De | CpuFeatures.Pse | CpuFeatures.Tsc
        | CpuFeatures.Msr | CpuFeatures.Mce | CpuFeatures.Cx8;

    private const CpuFeatures PentiumIII = Pentium1 | CpuFeatures.Pae | CpuFeatures.Apic | CpuFeatures.Sep | CpuFeatures.Mtrr
        | CpuFeatures.Pge | CpuFeatures.Mca | CpuFeatures.Cmov | CpuFeatures.Pat | CpuFeatures.Pse36 | CpuFeatures.Mmx
        | CpuFeatures.Fxsr | CpuFeatures.Sse;

    /// <summary>Known codes by model; beside the record, so that a copy with other features gets its own.</summary>
    private static readonly ConditionalWeakTable<CpuModel, bool[]> Known = [];

    /// <summary>Intel486 DX4: the first with CPUID, so that an OS of 1994 can ask.</summary>
    public static CpuModel I486 { get; } = new()
    {
        Name = "486",
        Family = 4,
        Model = 8,
        Features = CpuFeatures.Fpu | CpuFeatures.Vme,
        MaxLeaf = 1,
    };

    /// <summary>Pentium (P54C).</summary>
    public static CpuModel Pentium { get; } = new()
    {
        Name = "pentium",
        Family = 5,
        Model = 2,
        Stepping = 12,
        Features = Pentium1,
        MaxLeaf = 1,
    };

    /// <summary>Pentium III (Coppermine), the default.</summary>
    public static CpuModel P3 { get; } = new()
    {
        Name = "p3",
        Family = 6,
        Model = 8,
        Stepping = 3,
        Features = PentiumIII,
        MaxLeaf = 2,
        PerformanceCounters = true,
    };

    /// <summary>Pentium 4 (Northwood): p3 and SSE2.</summary>
    public static CpuModel P4 { get; } = new()
    {
        Name = "p4",
        Family = 15,
        Model = 2,
        Stepping = 9,
        Features = PentiumIII | CpuFeatures.Clfsh | CpuFeatures.Sse2,
        MaxLeaf = 2,
        MaxExtendedLeaf = 0x80000004,
        Brand = "Farm IA-32 CPU (p4)",
    };

    /// <summary>The x86-64 baseline with CMPXCHG16B and POPCNT.</summary>
    public static CpuModel X64 { get; } = new()
    {
        Name = "x86-64",
        Family = 15,
        Model = 6,
        Stepping = 1,
        Features = PentiumIII | CpuFeatures.Clfsh | CpuFeatures.Sse2 | CpuFeatures.Syscall | CpuFeatures.Nx | CpuFeatures.LongMode,
        Features2 = CpuFeatures2.Cx16 | CpuFeatures2.Popcnt | CpuFeatures2.Lahf64,
        MaxLeaf = 2,
        MaxExtendedLeaf = 0x80000008,
        Brand = "Farm x86-64 CPU",
    };

    public static IReadOnlyList<CpuModel> All { get; } = [I486, Pentium, P3, P4, X64];

    public required string Name { get; init; }

    /// <summary>Twelve characters for CPUID leaf 0.</summary>
    public string Vendor { get; init; } = "GenuineIntel";

    /// <summary>Brand string for leaves 80000002h-80000004h, at most 47 characters.</summary>
    public string Brand { get; init; } = "";

    public required int Family { get; init; }

    public required int Model { get; init; }

    public int Stepping { get; init; }

    public required CpuFeatures Features { get; init; }

    public CpuFeatures2 Features2 { get; init; }

    public required uint MaxLeaf { get; init; }

    /// <summary>Highest extended leaf; 0: the model has none.</summary>
    public uint MaxExtendedLeaf { get; init; }

    /// <summary>P6's two performance counters, their event selects and RDPMC. They never count.</summary>
    public bool PerformanceCounters { get; init; }

    /// <summary>CPUID leaf 1 EAX.</summary>
    public uint Signature => (uint)((Math.Min(Family, 15) << 8) | ((Math.Max(Family, 15) - 15) << 20) | ((Model & 15) << 4) | ((Model >> 4) << 16) | Stepping);

    /// <summary>The model of that name, or null.</summary>
    public static CpuModel? Find(string name) => All.FirstOrDefault(model => string.Equals(model.Name, name, StringComparison.OrdinalIgnoreCase));

    public bool Has(CpuFeatures feature) => (Features & feature) == feature;

    public bool Has(CpuFeatures2 feature) => (Features2 & feature) == feature;

    /// <summary>False when the opcode is undefined on this model: #UD.</summary>
    public bool Knows(Code code) => KnownCodes()[(int)code];

    /// <summary><see cref="Knows(Code)"/> for every code.</summary>
    internal bool[] KnownCodes() => Known.GetValue(this, static model =>
    {
        Code[] codes = Enum.GetValues<Code>();
        var known = new bool[codes.Length];
        foreach (Code code in codes)
            known[(int)code] = code != Code.INVALID && Array.TrueForAll(code.CpuidFeatures(), model.Knows);
        return known;
    });

    private bool Knows(CpuidFeature feature) => feature switch
    {
        CpuidFeature.INTEL8086 or CpuidFeature.INTEL186 or CpuidFeature.INTEL286 or CpuidFeature.INTEL386 or CpuidFeature.INTEL486 => true,
        CpuidFeature.CPUID or CpuidFeature.PAUSE => true,
        CpuidFeature.FPU or CpuidFeature.FPU287 or CpuidFeature.FPU387 => Has(CpuFeatures.Fpu),
        CpuidFeature.TSC => Has(CpuFeatures.Tsc),
        CpuidFeature.MSR => Has(CpuFeatures.Msr),
        CpuidFeature.CX8 => Has(CpuFeatures.Cx8),
        CpuidFeature.SMM => Family >= 5,
        CpuidFeature.MULTIBYTENOP or CpuidFeature.RDPMC => Family >= 6,
        CpuidFeature.SEP => Has(CpuFeatures.Sep),
        CpuidFeature.CMOV => Has(CpuFeatures.Cmov),
        CpuidFeature.MMX => Has(CpuFeatures.Mmx),
        CpuidFeature.FXSR => Has(CpuFeatures.Fxsr),
        CpuidFeature.SSE => Has(CpuFeatures.Sse),
        CpuidFeature.SSE2 => Has(CpuFeatures.Sse2),
        CpuidFeature.CLFSH => Has(CpuFeatures.Clfsh),
        CpuidFeature.X64 => Has(CpuFeatures.LongMode),
        CpuidFeature.SYSCALL => Has(CpuFeatures.Syscall),
        CpuidFeature.RDTSCP => Has(CpuFeatures.Rdtscp),
        CpuidFeature.SSE3 => Has(CpuFeatures2.Sse3),
        CpuidFeature.MONITOR => Has(CpuFeatures2.Monitor),
        CpuidFeature.CMPXCHG16B => Has(CpuFeatures2.Cx16),
        CpuidFeature.POPCNT => Has(CpuFeatures2.Popcnt),
        _ => false,
    };
}
