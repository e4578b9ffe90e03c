namespace Farm.Machine.Devices.Chipset;

/// <summary>What a reset reaches.</summary>
public enum ResetKind
{
    /// <summary>INIT#: the processor alone; devices, RAM and A20 keep their state (keyboard controller FEh, port 92h bit 0, CF9h soft).</summary>
    Processor,

    /// <summary>Every device and the processor.</summary>
    Hard,
}

/// <summary>
/// The wires that several devices share: gate A20, reset, power. The machine listens; requests take effect after the current
/// instruction.
/// </summary>
public sealed class SystemControl
{
    private bool _a20 = true;

    /// <summary>Called at every change of gate A20.</summary>
    public Action<bool>? A20Changed { get; set; }

    /// <summary>Called with the kind of reset and who asked for it.</summary>
    public Action<ResetKind, string>? ResetRequested { get; set; }

    /// <summary>Called when the guest powers off, with who asked for it.</summary>
    public Action<string>? PowerOffRequested { get; set; }

    /// <summary>Called when a local APIC's INIT reaches a processor, with its number.</summary>
    public Action<int>? InitRequested { get; set; }

    /// <summary>Called when a start-up interrupt (SIPI) reaches a processor, with its number and the vector; one that does not wait for it goes on.</summary>
    public Action<int, byte>? StartupRequested { get; set; }

    /// <summary>Called when a device raises SMI#; null: there is no system management mode.</summary>
    public Action? SmiRequested { get; set; }

    /// <summary>Gate A20; the last writer of the keyboard controller's output port and of port 92h wins. Open after reset.</summary>
    public bool A20
    {
        get => _a20;
        set
        {
            if (value == _a20)
                return;
            _a20 = value;
            A20Changed?.Invoke(value);
        }
    }

    public void RequestReset(ResetKind kind, string source) => ResetRequested?.Invoke(kind, source);

    public void RequestInit(int processor) => InitRequested?.Invoke(processor);

    public void RequestStartup(int processor, byte vector) => StartupRequested?.Invoke(processor, vector);

    public void RequestPowerOff(string source) => PowerOffRequested?.Invoke(source);
}
