namespace Farm.Assist.Cpu;

// Unmasked x87 exceptions: #MF with CR0.NE, else the FERR# and IGNNE# pins as the AT wires them (SDM vol. 1, 8.7; vol. 3, 2.5).
public sealed unsafe partial class X86Cpu
{
    private const ushort FpuSummary = 0x80;

    private bool _ferr;

    /// <summary>Raised when the FERR# pin changes; true: asserted. The board latches it into IRQ 13.</summary>
    public event Action<bool>? FerrChanged;

    /// <summary>IGNNE#: instructions go on in spite of a pending exception. The board asserts it on a write to port F0h until FERR# goes.</summary>
    public bool IgnoreNumericError { get; set; }

    /// <summary>Level of the FERR# pin.</summary>
    public bool Ferr => _ferr;

    /// <summary>
    /// A waiting instruction met a pending exception. #MF with CR0.NE. Without it: true, it may execute (IGNNE#), or false, the
    /// processor has asserted FERR# and stays before the instruction until an interrupt takes it elsewhere.
    /// </summary>
    internal bool TakeMathFault()
    {
        if ((State->Cr0 & ControlRegisters.Cr0NE) != 0)
            throw Fault(Vectors.MF);
        if (IgnoreNumericError)
            return true;
        if (!_ferr)
        {
            _ferr = true;
            FerrChanged?.Invoke(true);
        }
        State->Rip = InstructionStart;
        EndBlock();
        return false;
    }

    /// <summary>Takes FERR# back when no exception is pending any more.</summary>
    internal void UpdateFerr()
    {
        if (!_ferr || (State->FpuStatus & FpuSummary) != 0)
            return;
        _ferr = false;
        IgnoreNumericError = false;
        FerrChanged?.Invoke(false);
    }
}
