using Farm.Machine.Devices.Apic;
using Farm.Machine.Hypervisors.Kvm.Native;

namespace Farm.Machine.Hypervisors.Kvm;

/// <summary>
/// The local APICs that the kernel emulates for a VM whose other interrupt controllers are the machine's (KVM_CAP_SPLIT_IRQCHIP). INIT, SIPI
/// and all between the processors is the kernel's, INIT of the bootstrap processor too: it starts at FFFFFFF0h, where the BIOS is.
/// </summary>
internal sealed unsafe class KvmLocalApics : ILocalApics
{
    /// <summary>Vectors below are the processor's own: no local APIC takes them.</summary>
    private const byte FirstVector = 16;

    private readonly KvmFile _vm;
    private readonly IReadOnlyList<KvmVcpu> _processors;
    private readonly ApicMessage?[] _redirections = new ApicMessage?[IoApic.Inputs];

    /// <param name="vm">Without processors yet.</param>
    /// <param name="processors">Will hold them.</param>
    public KvmLocalApics(KvmFile vm, IReadOnlyList<KvmVcpu> processors)
    {
        _vm = vm;
        _processors = processors;
        vm.Enable(KvmCap.SplitIrqchip, IoApic.Inputs, "KVM_CAP_SPLIT_IRQCHIP");
    }

    public Action<byte>? Ended { get; set; }

    /// <summary>Never called: the kernel restarts the bootstrap processor.</summary>
    public Action? InitRequested { get; set; }

    /// <summary>
    /// An ExtINT message has nothing to add to the 8259's own wire, which is open or closed at LINT0: the kernel knows no other way for such an
    /// interrupt. There is no system management mode.
    /// </summary>
    public bool Send(ApicMessage message)
    {
        switch (message.Mode)
        {
            case DeliveryMode.ExtInt or DeliveryMode.Smi or DeliveryMode.Reserved:
            case DeliveryMode.Fixed or DeliveryMode.LowestPriority when message.Vector < FirstVector:
                return false;
            default:
                var msi = new KvmMsi { AddressLow = Address(message), Data = Data(message) };
                // -EPERM as well as 0: nobody took it.
                return _vm.Repeat(KvmIoctl.SignalMsi, &msi) > 0;
        }
    }

    /// <summary>The kernel exits at the end of those interrupts that its routing table has for the IOAPIC's inputs as level-triggered ones.</summary>
    public void Redirect(int input, ApicMessage? message)
    {
        if (_redirections[input] == message)
            return;
        _redirections[input] = message;
        // struct kvm_irq_routing: number of entries, flags, entries.
        byte* table = stackalloc byte[8 + (IoApic.Inputs * sizeof(KvmIrqRoutingEntry))];
        var entries = (KvmIrqRoutingEntry*)(table + 8);
        uint count = 0;
        for (int i = 0; i < IoApic.Inputs; i++)
        {
            if (_redirections[i] is { } level)
                entries[count++] = new() { Gsi = (uint)i, Type = KvmConstants.RouteMsi, AddressLow = Address(level), Data = Data(level) };
        }
        *(ulong*)table = count;
        _vm.Call(KvmIoctl.SetGsiRouting, table, "KVM_SET_GSI_ROUTING");
    }

    /// <summary>Within the gate: all but <paramref name="one"/> execute nothing until it is free.</summary>
    public void StopOthers(KvmVcpu one)
    {
        foreach (var other in _processors)
        {
            if (other != one)
                other.StopExecuting();
        }
    }

    /// <summary>SDM vol. 3, 11.11.1.</summary>
    private static uint Address(ApicMessage message) => 0xFEE00000 | ((uint)message.Destination << 12) | (message.Logical ? 4u : 0);

    /// <summary>SDM vol. 3, 11.11.2.</summary>
    private static uint Data(ApicMessage message)
    {
        const uint assert = 0x4000, level = 0x8000;
        return message.Vector | ((uint)message.Mode << 8) | assert | (message.Level ? level : 0);
    }
}
