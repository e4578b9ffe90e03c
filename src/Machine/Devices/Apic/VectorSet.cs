using System.Numerics;
using System.Runtime.CompilerServices;

namespace Farm.Machine.Devices.Apic;

/// <summary>256 bits, one per vector: IRR, ISR or TMR.</summary>
internal struct VectorSet
{
    private Words _words;

    /// <summary>The highest vector in the set, or -1.</summary>
    public readonly int Highest
    {
        get
        {
            for (int i = 7; i >= 0; i--)
            {
                if (_words[i] != 0)
                    return i * 32 + BitOperations.Log2(_words[i]);
            }
            return -1;
        }
    }

    public readonly bool this[int vector] => (_words[vector >> 5] >> (vector & 31) & 1) != 0;

    /// <summary>32 bits as a register shows them.</summary>
    public readonly uint Word(int index) => _words[index & 7];

    public void Set(int vector, bool value)
    {
        uint bit = 1u << (vector & 31);
        _words[vector >> 5] = value ? _words[vector >> 5] | bit : _words[vector >> 5] & ~bit;
    }

    [InlineArray(8)]
    private struct Words
    {
        private uint _first;
    }
}
