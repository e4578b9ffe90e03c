using System.Runtime.InteropServices;
using Farm.Machine.Devices.Apic;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

/// <summary>
/// What the machine keeps of a local APIC that the platform emulates: its state at reset, and whether it lets the 8259's INTR through,
/// which the platform does not ask when an external interrupt is given to it.
/// </summary>
internal sealed unsafe class WhpLocalApic : IDisposable
{
    /// <summary>The functions want a page, whatever they use of it.</summary>
    private const int PageSize = 4096;

    private const uint SoftwareEnable = 0x100;

    private readonly WhpApi _api;
    private readonly nint _partition;
    private readonly uint _index;
    private readonly void* _reset = NativeMemory.AlignedAlloc(PageSize, PageSize);
    private readonly uint _resetSize;
    private uint _lint0;
    private bool _softwareEnabled;

    /// <param name="index">Number of a processor that was just created: its APIC is in the state of a reset.</param>
    public WhpLocalApic(WhpApi api, nint partition, uint index)
    {
        _api = api;
        _partition = partition;
        _index = index;
        NativeMemory.Clear(_reset, PageSize);
        uint written = 0;
        WhpApi.Check(api.GetVirtualProcessorInterruptControllerState(partition, index, _reset, PageSize, &written), "WHvGetVirtualProcessorInterruptControllerState2");
        _resetSize = written == 0 ? PageSize : Math.Min(written, PageSize);
        Forget();
    }

    /// <summary>IA32_APIC_BASE as last written.</summary>
    public ApicBase Base { get; set; } = (ApicBase)LocalApic.DefaultBase | ApicBase.Enable;

    /// <summary>The 8259's INTR reaches the processor: LINT0 is open as ExtINT, or the APIC is off and the pin is INTR itself.</summary>
    public bool TakesExternal => (Base & ApicBase.Enable) == 0 || ((Lvt)_lint0 & (Lvt.Masked | Lvt.DeliveryMask)) == (Lvt)((uint)DeliveryMode.ExtInt << 8);

    /// <summary>Physical address of the registers; null: the APIC is off.</summary>
    public ulong? Page => (Base & ApicBase.Enable) != 0 ? (ulong)(Base & ApicBase.AddressMask) : null;

    /// <summary>RESET and INIT.</summary>
    public void Reset()
    {
        WhpApi.Check(_api.SetVirtualProcessorInterruptControllerState(_partition, _index, _reset, _resetSize), "WHvSetVirtualProcessorInterruptControllerState2");
        Forget();
    }

    /// <summary>Software wrote a register.</summary>
    public void Written(in WhvX64ApicWriteContext write)
    {
        switch (write.Type)
        {
            case WhvX64ApicWriteType.Lint0:
                _lint0 = (uint)write.WriteValue | (_softwareEnabled ? 0 : (uint)Lvt.Masked);
                break;
            case WhvX64ApicWriteType.Svr:
                _softwareEnabled = (write.WriteValue & SoftwareEnable) != 0;
                if (!_softwareEnabled)
                    _lint0 |= (uint)Lvt.Masked;
                break;
        }
    }

    public void Dispose() => NativeMemory.AlignedFree(_reset);

    /// <summary>LINT0 is open on the bootstrap processor, as on the machine's own APICs: one of the BIOSes relies on finding it so.</summary>
    private void Forget()
    {
        _softwareEnabled = false;
        _lint0 = _index == 0 ? (uint)DeliveryMode.ExtInt << 8 : (uint)Lvt.Masked;
    }
}
