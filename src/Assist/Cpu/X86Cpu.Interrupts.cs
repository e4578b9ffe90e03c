namespace Farm.Assist.Cpu;

public sealed unsafe partial class X86Cpu
{
    /// <summary>Delivers an event at RIP; what it raises itself goes out as <see cref="GuestFault"/> with nothing changed.</summary>
    internal void DeliverEvent(byte vector, EventKind kind, bool hasError, uint error)
    {
        if (ProtectedMode)
            throw Fault(Vectors.GP, 0);
        ushort offset = ReadLinear<ushort>(State->Idtr.Base + ((ulong)vector * 4));
        ushort selector = ReadLinear<ushort>(State->Idtr.Base + ((ulong)vector * 4) + 2);
        ProbePush(6);
        Push((ushort)Flags);
        Push(State->Cs.Selector);
        Push((ushort)State->Rip);
        Flags &= ~(Eflags.IF | Eflags.TF | Eflags.AC | Eflags.RF);
        State->Cs = SegmentCache.RealMode(selector, code: true);
        State->Rip = offset;
        SegmentLoaded(Seg.Cs);
    }
}
