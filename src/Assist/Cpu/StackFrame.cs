namespace Farm.Assist.Cpu;

/// <summary>
/// Values on their way to a stack: pushed here with all segment checks, then probed and written in one go, so that a fault
/// leaves neither memory nor registers changed.
/// </summary>
internal unsafe struct StackFrame
{
    /// <summary>The largest frame: SS, ESP, 31 parameters, CS, EIP.</summary>
    private const int Capacity = 36;

    private readonly X86Cpu _cpu;
    private readonly SegmentCache _ss;
    private readonly int _size;
    private readonly bool _flat, _user;
    private readonly uint _error;
    private readonly ulong _mask;
    private int _count;
    private fixed ulong _values[Capacity];
    private fixed ulong _addresses[Capacity];

    /// <param name="cpu">The processor that pushes.</param>
    /// <param name="ss">Stack segment, current or to come.</param>
    /// <param name="sp">Stack pointer before the first push.</param>
    /// <param name="size">Bytes of each value.</param>
    /// <param name="flat">64-bit mode: no segmentation.</param>
    /// <param name="user">The pushes are accesses of privilege level 3.</param>
    /// <param name="error">Error code of #SS when there is no room.</param>
    public StackFrame(X86Cpu cpu, in SegmentCache ss, ulong sp, int size, bool flat, bool user, uint error)
    {
        _cpu = cpu;
        _ss = ss;
        _size = size;
        _flat = flat;
        _user = user;
        _error = error;
        _mask = flat ? ulong.MaxValue : ss.Big ? uint.MaxValue : ushort.MaxValue;
        Sp = sp;
    }

    /// <summary>Stack pointer after what has been pushed.</summary>
    public ulong Sp { get; private set; }

    public void Push(ulong value)
    {
        ulong offset = (Sp - (ulong)_size) & _mask;
        CheckRoom(offset);
        ulong address = _ss.Base + offset;
        _addresses[_count] = _flat ? offset : (uint)address;
        _values[_count++] = value;
        Sp = _mask == ushort.MaxValue ? (Sp & ~_mask) | offset : offset;
    }

    /// <summary>Raises the page fault that writing the frame would raise, if any.</summary>
    public readonly void Probe()
    {
        for (int i = 0; i < _count; i++)
            _cpu.ProbeLinearWrite(_addresses[i], _size, supervisor: !_user);
    }

    /// <summary>Writes the frame; cannot fault after <see cref="Probe"/>.</summary>
    public readonly void Commit()
    {
        for (int i = 0; i < _count; i++)
        {
            if (_size == 2)
                _cpu.WriteLinear(_addresses[i], (ushort)_values[i]);
            else if (_size == 4)
                _cpu.WriteLinear(_addresses[i], (uint)_values[i]);
            else
                _cpu.WriteLinear(_addresses[i], _values[i]);
        }
    }

    private readonly void CheckRoom(ulong offset)
    {
        if (_flat)
        {
            if (!X86Cpu.IsCanonical(offset) || !X86Cpu.IsCanonical(offset + (ulong)_size - 1))
                throw _cpu.Fault(Vectors.SS, _error);
            return;
        }
        ulong last = offset + (ulong)_size - 1;
        bool inside = _ss.ExpandDown
            ? offset > _ss.Limit && last <= (_ss.Big ? uint.MaxValue : ushort.MaxValue)
            : last <= _ss.Limit;
        if (!inside || _ss.Unusable)
            throw _cpu.Fault(Vectors.SS, _error);
    }
}
