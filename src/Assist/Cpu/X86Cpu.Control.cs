namespace Farm.Assist.Cpu;

// Writing control and debug registers: validity, mode switches, flushes (SDM vol. 3, 2.5, 4.1 and 17.2). All throw #GP(0)
// before anything changes.
public sealed unsafe partial class X86Cpu
{
    private const ulong DebugGeneralDetect = 0x2000;

    private const uint Cr0Writable = ControlRegisters.Cr0PE | ControlRegisters.Cr0MP | ControlRegisters.Cr0EM | ControlRegisters.Cr0TS
        | ControlRegisters.Cr0NE | ControlRegisters.Cr0WP | ControlRegisters.Cr0AM | ControlRegisters.Cr0NW | ControlRegisters.Cr0CD | ControlRegisters.Cr0PG;

    /// <summary>MOV CR0 and LMSW: checks, mode change (real, protected, paging, IA-32e) and flush.</summary>
    public void WriteCr0(ulong value)
    {
        bool paging = (value & ControlRegisters.Cr0PG) != 0;
        bool invalid = value >> 32 != 0
            || (paging && (value & ControlRegisters.Cr0PE) == 0)
            || (value & (ControlRegisters.Cr0NW | ControlRegisters.Cr0CD)) == ControlRegisters.Cr0NW;
        if (invalid)
            throw Fault(Vectors.GP, 0);
        value = (value & Cr0Writable) | ControlRegisters.Cr0ET;
        ulong changed = value ^ State->Cr0;
        bool pae = (State->Cr4 & ControlRegisters.Cr4PAE) != 0;
        ulong efer = State->Efer;
        if ((changed & ControlRegisters.Cr0PG) != 0)
        {
            if (paging && (efer & ControlRegisters.EferLME) != 0)
            {
                if (!pae || State->Cs.Long || (!State->Tr.Unusable && (State->Tr.Type & 8) == 0))
                    throw Fault(Vectors.GP, 0);
                efer |= ControlRegisters.EferLMA;
            }
            else if (!paging)
            {
                if (Mode64)
                    throw Fault(Vectors.GP, 0);
                efer &= ~(ulong)ControlRegisters.EferLMA;
            }
        }
        const uint Caching = ControlRegisters.Cr0PG | ControlRegisters.Cr0CD | ControlRegisters.Cr0NW;
        bool loadPointers = paging && pae && (efer & ControlRegisters.EferLMA) == 0 && (changed & Caching) != 0;
        if (loadPointers && !TryLoadPdptes(State->Cr3))
            throw Fault(Vectors.GP, 0);
        State->Cr0 = value;
        State->Efer = efer;
        if ((changed & ControlRegisters.Cr0PG) != 0 || (paging && (changed & ControlRegisters.Cr0WP) != 0))
            FlushTlb();
        ModeChanged();
    }

    /// <summary>MOV CR3: loads the page-directory-pointer registers under PAE and flushes all but global pages.</summary>
    public void WriteCr3(ulong value)
    {
        if (LongModeActive && value >> Memory.AddressBits != 0)
            throw Fault(Vectors.GP, 0);
        if (!TryLoadCr3(value))
            throw Fault(Vectors.GP, 0);
    }

    /// <summary>CR3 as MOV and the task switch load it; false, and nothing changed, when a page-directory pointer is malformed.</summary>
    private bool TryLoadCr3(ulong value)
    {
        bool pae = (State->Cr4 & ControlRegisters.Cr4PAE) != 0;
        if ((State->Cr0 & ControlRegisters.Cr0PG) != 0 && pae && !LongModeActive && !TryLoadPdptes(value))
            return false;
        State->Cr3 = value;
        FlushTlb(keepGlobal: true);
        return true;
    }

    /// <summary>MOV CR4: bits that the model lacks are reserved.</summary>
    public void WriteCr4(ulong value)
    {
        ulong changed = value ^ State->Cr4;
        bool invalid = (value & ~(ulong)Cr4Supported) != 0
            || (LongModeActive && (value & ControlRegisters.Cr4PAE) == 0);
        if (invalid)
            throw Fault(Vectors.GP, 0);
        const uint Paging = ControlRegisters.Cr4PSE | ControlRegisters.Cr4PAE | ControlRegisters.Cr4PGE;
        if ((changed & Paging) != 0)
        {
            bool loadPointers = (State->Cr0 & ControlRegisters.Cr0PG) != 0 && (value & ControlRegisters.Cr4PAE) != 0 && !LongModeActive;
            if (loadPointers && !TryLoadPdptes(State->Cr3))
                throw Fault(Vectors.GP, 0);
        }
        State->Cr4 = value;
        if ((changed & Paging) != 0)
            FlushTlb();
        ModeChanged();
    }

    private uint Cr4Supported
    {
        get
        {
            uint bits = 0;
            if (Model.Has(CpuFeatures.Vme))
                bits |= ControlRegisters.Cr4VME | ControlRegisters.Cr4PVI;
            if (Model.Has(CpuFeatures.Tsc))
                bits |= ControlRegisters.Cr4TSD;
            if (Model.Has(CpuFeatures.De))
                bits |= ControlRegisters.Cr4DE;
            if (Model.Has(CpuFeatures.Pse))
                bits |= ControlRegisters.Cr4PSE;
            if (Model.Has(CpuFeatures.Pae))
                bits |= ControlRegisters.Cr4PAE;
            if (Model.Has(CpuFeatures.Mce))
                bits |= ControlRegisters.Cr4MCE;
            if (Model.Has(CpuFeatures.Pge))
                bits |= ControlRegisters.Cr4PGE;
            if (Model.Family >= 6)
                bits |= ControlRegisters.Cr4PCE;
            if (Model.Has(CpuFeatures.Fxsr))
                bits |= ControlRegisters.Cr4OSFXSR;
            if (Model.Has(CpuFeatures.Sse))
                bits |= ControlRegisters.Cr4OSXMMEXCPT;
            return bits;
        }
    }

    /// <summary>WRMSR EFER: LME may not change under paging, LMA is not the program's to write.</summary>
    private void WriteEfer(ulong value)
    {
        ulong known = 0;
        if (Model.Has(CpuFeatures.Syscall))
            known |= ControlRegisters.EferSCE;
        if (Model.Has(CpuFeatures.LongMode))
            known |= ControlRegisters.EferLME | ControlRegisters.EferLMA;
        if (Model.Has(CpuFeatures.Nx))
            known |= ControlRegisters.EferNXE;
        ulong changed = value ^ State->Efer;
        bool paging = (State->Cr0 & ControlRegisters.Cr0PG) != 0;
        if ((value & ~known) != 0 || (paging && (changed & ControlRegisters.EferLME) != 0))
            throw Fault(Vectors.GP, 0);
        State->Efer = (value & ~(ulong)ControlRegisters.EferLMA) | (State->Efer & ControlRegisters.EferLMA);
        if ((changed & ControlRegisters.EferNXE) != 0)
            FlushTlb();
        ModeChanged();
    }

    /// <summary>Reads DR0-DR7; DR4 and DR5 are DR6 and DR7 unless CR4.DE makes them undefined.</summary>
    public ulong ReadDebugRegister(int number) => State->Dr[DebugRegister(number)];

    public void WriteDebugRegister(int number, ulong value)
    {
        number = DebugRegister(number);
        if (number >= 6 && value >> 32 != 0)
            throw Fault(Vectors.GP, 0);
        State->Dr[number] = number switch
        {
            6 => (value & 0xE00F) | 0xFFFF0FF0,
            7 => (value & 0xFFFF23FF) | 0x400,
            _ => value,
        };
        ModeChanged();
    }

    private int DebugRegister(int number)
    {
        if (number is 4 or 5)
        {
            if ((State->Cr4 & ControlRegisters.Cr4DE) != 0)
                throw Fault(Vectors.UD);
            number += 2;
        }
        if (Cpl != 0)
            throw Fault(Vectors.GP, 0);
        if ((State->Dr[7] & DebugGeneralDetect) != 0)
        {
            State->Dr[6] |= 0x2000;
            throw Fault(Vectors.DB);
        }
        return number;
    }
}
