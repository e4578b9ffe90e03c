namespace Farm.Assist.Cpu;

// Host addresses for what moves many bytes at once.
public sealed unsafe partial class X86Cpu
{
    /// <summary>
    /// Where [<paramref name="offset"/>, +<paramref name="length"/>) lies in host memory when it is within one page of plain memory whose
    /// translation is known and may be read; else null: read it by <see cref="Read{T}"/>. Valid until the next access of another kind.
    /// </summary>
    internal byte* DirectRead(Seg segment, ulong offset, int length)
    {
        Window* window = _windows + (int)segment;
        ulong linear = (window->Base + offset) & window->LinearMask;
        TlbEntry* entry = _tlb + (int)((linear >> 12) & (TlbSize - 1));
        bool direct = offset + (ulong)length <= window->ReadEnd && ((linear + (ulong)length - 1) & PageMask) == entry->ReadTag
            && (linear & PageMask) == entry->ReadTag;
        return direct ? (byte*)linear + entry->Addend : null;
    }

    /// <summary>As <see cref="DirectRead"/> for a store.</summary>
    internal byte* DirectWrite(Seg segment, ulong offset, int length)
    {
        Window* window = _windows + (int)segment;
        ulong linear = (window->Base + offset) & window->LinearMask;
        TlbEntry* entry = _tlb + (int)((linear >> 12) & (TlbSize - 1));
        bool direct = offset + (ulong)length <= window->WriteEnd && ((linear + (ulong)length - 1) & PageMask) == entry->WriteTag
            && (linear & PageMask) == entry->WriteTag;
        return direct ? (byte*)linear + entry->Addend : null;
    }
}
