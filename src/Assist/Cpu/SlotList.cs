namespace Farm.Assist.Cpu;

/// <summary>Numbers of the slots of a table that may hold something; gives up counting, and names every slot, beyond <see cref="Size"/>.</summary>
internal sealed class SlotList
{
    private const int Size = 256;

    private readonly ushort[] _slots = new ushort[Size];
    private int _count;
    private ushort[] _all = [];

    /// <summary>To be called when an empty slot is filled; a slot may be added twice.</summary>
    public void Add(ushort slot)
    {
        if (_count < Size)
            _slots[_count] = slot;
        if (_count <= Size)
            _count++;
    }

    /// <summary>At least every slot that may hold something, of a table of <paramref name="tableSize"/>.</summary>
    public ReadOnlySpan<ushort> Slots(int tableSize) => _count <= Size ? _slots.AsSpan(0, _count) : All(tableSize);

    /// <summary>While <see cref="Slots"/> are visited: the next one that stays filled.</summary>
    public void Keep(ushort slot, int index)
    {
        if (index < Size)
            _slots[index] = slot;
    }

    /// <summary>After the visit: so many were kept, the others are empty.</summary>
    public void Trim(int kept) => _count = Math.Min(kept, Size + 1);

    private ushort[] All(int tableSize)
    {
        if (_all.Length != tableSize)
            _all = [.. Enumerable.Range(0, tableSize).Select(slot => (ushort)slot)];
        return _all;
    }
}
