namespace Farm.Assist.Cpu;

// Unmasked x87 exceptions: #MF with CR0.NE, else the FERR# and IGNNE# pins as the AT wires them (SDM vol. 1, 8.7; vol. 3, 2.5).
public sealed unsafe partial class X86Cpu
{
    private const ushort FpuSummary = 0x80;

    /// <summary>
    /// A waiting instruction met a pending exception. #MF with CR0.NE. Without it: true, it may execute (IGNNE#), or false, the
    /// processor has asserted FERR# and stays before the instruction until an interrupt takes it elsewhere.
    /// </summary>
    internal bool TakeMathFault()
    {
        if ((State->Cr0 & ControlRegisters.Cr0NE) != 0)
            throw Fault(Vectors.MF);
        if (Door.IgnoreNumericError)
            return true;
        Door.SetNumericError(true);
        State->Rip = InstructionStart;
        EndBlock();
        return false;
    }

    /// <summary>Takes FERR# back when no exception is pending any more.</summary>
    internal void UpdateFerr()
    {
        if ((State->FpuStatus & FpuSummary) == 0)
            Door.SetNumericError(false);
    }
}
