namespace Farm.Assist.Cpu;

public sealed unsafe partial class X86Cpu
{
    /// <summary>
    /// #GP(0) unless I/O to [<paramref name="port"/>, +<paramref name="size"/>) is allowed: by IOPL, else by the I/O permission bitmap of
    /// a 32-bit (64-bit) TSS (SDM vol. 1, 19.5.2). Two bytes of the bitmap are always read, so both must lie within the limit.
    /// </summary>
    public void CheckIo(ushort port, int size)
    {
        if (!ProtectedMode || (!Vm86 && Cpl <= (int)(State->Rflags & Eflags.IoplMask) >> Eflags.IoplShift))
            return;
        const int MapBase = 0x66, BusyTss32 = 11, AvailableTss32 = 9;
        ref SegmentCache tr = ref State->Tr;
        if (tr.Unusable || !tr.Present || tr.Type is not (BusyTss32 or AvailableTss32) || tr.Limit < MapBase + 1)
            throw Fault(Vectors.GP, 0);
        uint at = ReadLinear<ushort>(tr.Base + MapBase) + ((uint)port >> 3);
        if (at + 1 > tr.Limit)
            throw Fault(Vectors.GP, 0);
        uint denied = (uint)ReadLinear<ushort>(tr.Base + at) >> (port & 7);
        if ((denied & ((1u << size) - 1)) != 0)
            throw Fault(Vectors.GP, 0);
    }
}
