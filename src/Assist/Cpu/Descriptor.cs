namespace Farm.Assist.Cpu;

/// <summary>A segment or gate descriptor as it lies in the GDT, LDT or IDT (SDM vol. 3, figures 3-8, 5-8, 6-2).</summary>
/// <param name="Raw">The eight bytes.</param>
/// <param name="Address">Linear address it was read from.</param>
internal readonly record struct Descriptor(ulong Raw, ulong Address)
{
    public const int TssAvailable16 = 1, Ldt = 2, TssBusy16 = 3, CallGate16 = 4, TaskGate = 5, InterruptGate16 = 6, TrapGate16 = 7;
    public const int TssAvailable32 = 9, TssBusy32 = 0xB, CallGate32 = 0xC, InterruptGate32 = 0xE, TrapGate32 = 0xF;

    /// <summary>The bit of a TSS descriptor's type that says busy.</summary>
    public const int BusyBit = 2;

    /// <summary>Access rights in the format of <see cref="SegmentCache.Access"/>.</summary>
    public uint Access => (uint)(Raw >> 40) & 0xF0FF;

    public int Type => (int)(Raw >> 40) & 0xF;

    public bool IsSystem => (Raw & (1ul << 44)) == 0;

    public int Dpl => (int)(Raw >> 45) & 3;

    public bool Present => (Raw & (1ul << 47)) != 0;

    public bool IsCode => (Access & 0x18) == 0x18;

    public bool IsConforming => (Access & 0x1C) == 0x1C;

    public bool IsWritableData => (Access & 0x1A) == 0x12;

    /// <summary>Data of any kind, or code that may be read.</summary>
    public bool IsReadable => (Access & 0x18) == 0x10 || (Access & 0x1A) == 0x1A;

    public bool Accessed => (Access & 0x11) == 0x11;

    public bool IsLongCode => (Access & 0x2000) != 0;

    public bool IsBig => (Access & 0x4000) != 0;

    public uint Base => (uint)((Raw >> 16) & 0xFFFFFF) | (uint)((Raw >> 32) & 0xFF000000);

    /// <summary>Limit in bytes: the last valid offset.</summary>
    public uint Limit
    {
        get
        {
            uint limit = (uint)(Raw & 0xFFFF) | (uint)((Raw >> 32) & 0xF0000);
            return (Access & 0x8000) != 0 ? (limit << 12) | 0xFFF : limit;
        }
    }

    public ushort GateSelector => (ushort)(Raw >> 16);

    /// <summary>Offset in a 16-bit gate.</summary>
    public ushort GateOffset16 => (ushort)Raw;

    /// <summary>Offset in a 32-bit gate, and the low half of a 64-bit one.</summary>
    public uint GateOffset32 => (uint)(Raw & 0xFFFF) | (uint)((Raw >> 32) & 0xFFFF0000);

    public int GateParameters => (int)(Raw >> 32) & 0x1F;

    public int GateIst => (int)(Raw >> 32) & 7;

    public bool IsTss => IsSystem && (Type & 5) == 1;

    /// <summary>The descriptor cache after loading this descriptor through <paramref name="selector"/>.</summary>
    public SegmentCache ToCache(int selector) => new()
    {
        Selector = (ushort)selector,
        Base = Base,
        Limit = Limit,
        Access = Access,
    };
}
