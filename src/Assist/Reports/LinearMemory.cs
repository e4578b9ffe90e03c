using System.Runtime.InteropServices;
using Farm.Assist.Cpu;

namespace Farm.Assist.Reports;

/// <summary>Guest memory by linear address as a debugger sees it: through the guest's page tables, without marking or faulting.</summary>
public sealed unsafe class LinearMemory(CpuState* state, PhysicalMemory memory)
{
    private const ulong Present = 1, Large = 0x80, Frame = 0x000FFFFFFFFFF000;

    /// <summary>Physical address, null where nothing is mapped.</summary>
    public ulong? Translate(ulong linear)
    {
        if ((state->Cr0 & ControlRegisters.Cr0PG) == 0)
            return linear & memory.AddressMask;
        if ((state->Cr4 & ControlRegisters.Cr4PAE) == 0)
            return Narrow((uint)linear) & memory.AddressMask;
        bool longMode = (state->Efer & ControlRegisters.EferLMA) != 0;
        ulong table = longMode ? state->Cr3 & Frame : state->Cr3 & 0xFFFFFFE0;
        for (int level = longMode ? 4 : 3; level >= 1; level--)
        {
            int shift = 12 + ((level - 1) * 9);
            ulong index = (linear >> shift) & (!longMode && level == 3 ? 3u : 0x1FFu);
            ulong entry = Entry<ulong>(table + (index * 8));
            if ((entry & Present) == 0)
                return null;
            if (level == 1 || (level == 2 && (entry & Large) != 0))
            {
                ulong offset = (1ul << shift) - 1;
                return ((entry & Frame & ~offset) | (linear & offset)) & memory.AddressMask;
            }
            table = entry & Frame;
        }
        return null;
    }

    /// <summary>Reads up to the first byte that is not RAM or ROM; gives how many bytes that were.</summary>
    public int Read(ulong linear, Span<byte> destination)
    {
        for (int i = 0; i < destination.Length; i++)
        {
            if (Translate(linear + (ulong)i) is not { } physical || !memory.Read(physical, destination.Slice(i, 1)))
                return i;
        }
        return destination.Length;
    }

    private ulong? Narrow(uint linear)
    {
        uint directory = Entry<uint>((state->Cr3 & 0xFFFFF000) + ((linear >> 22) * 4));
        if ((directory & Present) == 0)
            return null;
        if ((directory & Large) != 0 && (state->Cr4 & ControlRegisters.Cr4PSE) != 0)
            return ((ulong)(directory >> 13 & 0xFF) << 32) | (directory & 0xFFC00000) | (linear & 0x3FFFFF);
        uint table = Entry<uint>((directory & 0xFFFFF000) + ((linear >> 12 & 0x3FF) * 4));
        return (table & Present) == 0 ? null : (table & 0xFFFFF000) | (linear & 0xFFF);
    }

    private T Entry<T>(ulong address) where T : unmanaged
    {
        T value = default;
        memory.Read(address & memory.AddressMask, MemoryMarshal.AsBytes(new Span<T>(ref value)));
        return value;
    }
}
