namespace Farm.Assist.Cpu;

// System management mode (SDM vol. 3, chapter 32; AMD APM vol. 2, chapter 10).
public sealed unsafe partial class X86Cpu
{
    /// <summary>SMBASE after reset.</summary>
    public const uint InitialSmbase = 0x30000;

    /// <summary>Entries into system management mode so far.</summary>
    public ulong SmiCount { get; private set; }

    /// <summary>Latches SMI#: the handler at SMBASE + 8000h is entered before the next instruction, or after RSM in system management mode.</summary>
    public void PendSmi()
    {
        _attention |= Attention.Smi;
        EndBlock();
    }

    /// <summary>RSM: back to the interrupted program with what the handler has left in the save area; #UD outside system management mode.</summary>
    public void ResumeFromSystemManagement()
    {
        if (!State->InSystemManagement)
            throw Fault(Vectors.UD);
        Span<byte> area = stackalloc byte[SmmSaveMap.Size];
        fixed (byte* bytes = area)
            CopyPhysical(bytes, SmmSaveMap.Size, State->Smbase + SmmSaveMap.Offset, write: false);
        new SmmSaveMap(area, Model.Has(CpuFeatures.LongMode)).Restore(State);
        State->SystemManagement = 0;
        State->NmiBlocked = State->NmiBlockedBefore;
        State->Shadow = InterruptShadow.None;
        Door.SetSystemManagement(false);
        Flags = ((uint)State->Rflags & Eflags.Defined) | 2;
        FlushTlb();
        ModeChanged();
        if (WatchedSegments != 0)
            NoteSegmentLoad();

        // SDM vol. 3, 32.3.2: what RSM cannot accept shuts the processor down.
        if (!IsResumable())
            State->Activity = Activity.Shutdown;
        else if (Paging && (State->Cr4 & ControlRegisters.Cr4PAE) != 0 && !LongModeActive && !TryLoadPdptes(State->Cr3))
            State->Activity = Activity.Shutdown;
    }

    private bool IsResumable()
    {
        ulong cr0 = State->Cr0;
        bool control = (cr0 & (ControlRegisters.Cr0PE | ControlRegisters.Cr0PG)) != ControlRegisters.Cr0PG
            && (cr0 & (ControlRegisters.Cr0NW | ControlRegisters.Cr0CD)) != ControlRegisters.Cr0NW
            && cr0 >> 32 == 0
            && (State->Cr4 & ~(ulong)Cr4Supported) == 0;
        bool active = Paging && (State->Efer & ControlRegisters.EferLME) != 0;
        return control && active == LongModeActive && (!active || (State->Cr4 & ControlRegisters.Cr4PAE) != 0);
    }

    private void EnterSystemManagement()
    {
        SmiCount++;
        _ = Flags;
        Door.SetSystemManagement(true);
        Span<byte> area = stackalloc byte[SmmSaveMap.Size];
        new SmmSaveMap(area, Model.Has(CpuFeatures.LongMode)).Save(State);
        fixed (byte* bytes = area)
            CopyPhysical(bytes, SmmSaveMap.Size, State->Smbase + SmmSaveMap.Offset, write: true);

        State->SystemManagement = 1;
        State->NmiBlockedBefore = State->NmiBlocked;
        State->NmiBlocked = 1;
        State->Activity = Activity.Active;
        State->Cr0 &= ~(ulong)(ControlRegisters.Cr0PE | ControlRegisters.Cr0EM | ControlRegisters.Cr0TS | ControlRegisters.Cr0PG);
        State->Cr4 = 0;
        State->Efer = 0;
        State->Dr[7] = 0x400;
        var data = new SegmentCache { Limit = uint.MaxValue, Access = 0x8093 };
        State->Es = State->Ss = State->Ds = State->Fs = State->Gs = data;
        State->Cs = data with { Selector = (ushort)(State->Smbase >> 4), Base = State->Smbase };
        State->Rip = 0x8000;
        Flags = 2;
        FlushTlb();
        ModeChanged();
    }

    /// <summary>Copies between the host and physical memory, page by page.</summary>
    private void CopyPhysical(byte* host, int size, ulong address, bool write)
    {
        while (size > 0)
        {
            int piece = (int)Math.Min((ulong)size, PhysicalMemory.PageSize - (address & ~PageMask));
            if (write)
                WritePhysical(host, piece, address);
            else
                ReadPhysical(host, piece, address);
            host += piece;
            address += (ulong)piece;
            size -= piece;
        }
    }
}
