namespace Farm.Assist.Cpu;

// Who may touch which port (SDM vol. 1, 19.5).
public sealed unsafe partial class X86Cpu
{
    /// <summary>#GP(0) unless the program <see cref="MayAccess"/> the ports.</summary>
    public void CheckIo(ushort port, int size)
    {
        if (!MayAccess(port, size))
            throw Fault(Vectors.GP, 0);
    }

    /// <summary>
    /// The program may access ports [<paramref name="port"/>, +<paramref name="size"/>), and is about to: by IOPL in protected mode, else, and
    /// always in virtual-8086 mode, by the I/O permission bit map of a 386 TSS.
    /// </summary>
    public bool MayAccess(ushort port, int size)
    {
        if (ProtectedMode && (Vm86 || Cpl > Iopl) && !IsInIoMap(port, size))
            return false;
        WatchPort(port, size);
        return true;
    }

    private bool IsInIoMap(ushort port, int size)
    {
        ref SegmentCache tr = ref State->Tr;
        if (tr.Unusable || (tr.Type & 8) == 0 || tr.Limit < TssIoMapBase32 + 1)
            return false;
        uint place = ReadLinear<ushort>(TssAddress(TssIoMapBase32)) + ((uint)port >> 3);

        // Two bytes are always read, so the map needs a byte of ones behind its last one.
        if (place + 1 > tr.Limit)
            return false;
        uint bits = (uint)ReadLinear<ushort>(TssAddress(place)) >> (port & 7);
        return (bits & ((1u << size) - 1)) == 0;
    }
}
