using Farm.Machine.Hypervisors.Kvm.Native;
using Farm.Machine.Time;

namespace Farm.Machine.Hypervisors.Kvm;

// The time-stamp counter goes on with the host's, by an offset. The kernel takes a write of the MSR itself, if it comes within a second of
// what it expects, for an attempt to synchronize processors and drops it: the offset is moved instead.
internal sealed unsafe partial class KvmVcpu
{
    /// <summary>The kernel tells the counter's offset and takes another one.</summary>
    private readonly bool _movesTimeStamp;

    /// <summary>
    /// Null before Linux 5.16, on a paravirtual KVM, whose guests read the host's counter as it is, and with the kernel's local APIC, whose
    /// timer would stay behind.
    /// </summary>
    public ClockRate? TimeStampRate { get; private set; }

    public long? ProcessorTime => ThreadClock.Now;

    public void AdvanceTimeStamp(ulong ticks)
    {
        // Each time: the guest may have written its counter.
        ulong offset;
        var attribute = TscOffset(&offset);
        _file.Call(KvmIoctl.GetDeviceAttr, &attribute, "KVM_GET_DEVICE_ATTR of KVM_VCPU_TSC_OFFSET");
        offset += ticks;
        _file.Call(KvmIoctl.SetDeviceAttr, &attribute, "KVM_SET_DEVICE_ATTR of KVM_VCPU_TSC_OFFSET");
        if (!_fetched)
            return;
        _state[0].TscOffset += ticks;
        _state[1].TscOffset += ticks;
    }

    /// <summary>
    /// All processors of a machine have one counter. The kernel sees to that itself, but where it does not trust the host's it only comes near.
    /// </summary>
    public void TakeTimeStampOf(KvmVcpu other)
    {
        if (!_movesTimeStamp)
            return;
        ulong offset;
        var attribute = TscOffset(&offset);
        other._file.Call(KvmIoctl.GetDeviceAttr, &attribute, "KVM_GET_DEVICE_ATTR of KVM_VCPU_TSC_OFFSET");
        _file.Call(KvmIoctl.SetDeviceAttr, &attribute, "KVM_SET_DEVICE_ATTR of KVM_VCPU_TSC_OFFSET");
    }

    private static KvmDeviceAttr TscOffset(ulong* value) => new() { Group = KvmConstants.VcpuTscCtrl, Attr = KvmConstants.VcpuTscOffset, Addr = (ulong)value };

    private ClockRate? AskTimeStampRate()
    {
        ulong unused;
        var attribute = TscOffset(&unused);
        if (_file.Try(KvmIoctl.HasDeviceAttr, &attribute) != 0)
            return null;
        int kilohertz = _file.Try(KvmIoctl.GetTscKhz);
        return kilohertz > 0 ? new ClockRate(kilohertz, 1_000_000) : null;
    }
}
