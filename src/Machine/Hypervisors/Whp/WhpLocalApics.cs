using Farm.Machine.Devices.Apic;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

/// <summary>The local APICs that the platform emulates for a partition: messages to them, and what they tell.</summary>
internal sealed unsafe class WhpLocalApics(WhpApi api, nint partition, IReadOnlyList<WhpVcpu> processors) : ILocalApics
{
    public Action<byte>? Ended { get; set; }

    public Action? InitRequested { get; set; }

    /// <summary>
    /// What the platform refuses (a vector below 16, a destination that is not there) nobody accepts. An APIC that software has not enabled
    /// drops it, like a real one.
    /// </summary>
    public bool Send(ApicMessage message)
    {
        switch (message.Mode)
        {
            case DeliveryMode.ExtInt:
                // The platform knows no such message. The 8259 has one INTR, and it is the bootstrap processor that takes it.
                processors[0].PendExternal();
                return true;
            case DeliveryMode.Init or DeliveryMode.Startup:
                SendInitOrStartup(message, source: 0, shorthand: 0);
                return true;
            case DeliveryMode.Smi or DeliveryMode.Reserved:
                return false;
            default:
                return Request(new((WhvX64InterruptType)message.Mode, message.Destination, message.Vector, message.Logical, message.Level));
        }
    }

    /// <summary>INIT and SIPI do not happen by themselves where they exit: <paramref name="icr"/> as software has written it.</summary>
    public void SendInitOrStartup(ulong icr, int source)
    {
        const uint assert = 0x4000, levelTriggered = 0x8000, logical = 0x800;
        var mode = (DeliveryMode)(icr >> 8 & 7);
        // The level de-assert form only synchronises arbitration identities.
        if (mode == DeliveryMode.Init && (icr & (assert | levelTriggered)) == levelTriggered)
            return;
        SendInitOrStartup(new ApicMessage(mode, (byte)icr, (byte)(icr >> 56), (icr & logical) != 0, Level: false), source, (int)(icr >> 18 & 3));
    }

    /// <summary>Within the gate: all but <paramref name="one"/> execute nothing until it is free.</summary>
    public void StopOthers(WhpVcpu one)
    {
        foreach (var other in processors)
        {
            if (other != one)
                other.StopExecuting();
        }
    }

    public bool Request(WhvInterruptControl interrupt) => api.RequestInterrupt(partition, &interrupt, (uint)sizeof(WhvInterruptControl)) >= 0;

    /// <param name="shorthand">Destination shorthand: 0 none, 1 self, 2 all, 3 all but self. The first two of these are no destinations of INIT and SIPI (SDM table 11-3).</param>
    private void SendInitOrStartup(ApicMessage message, int source, int shorthand)
    {
        const byte broadcast = 0xFF;
        if (shorthand is 1 or 2)
            return;
        for (int i = 0; i < processors.Count; i++)
        {
            bool addressed = shorthand == 3 ? i != source : message.Logical ? (message.Destination >> i & 1) != 0 : message.Destination == i || message.Destination == broadcast;
            if (!addressed)
                continue;
            if (message.Mode == DeliveryMode.Startup)
                Request(new(WhvX64InterruptType.Sipi, (uint)i, message.Vector));
            else if (i == 0)
                InitRequested?.Invoke();
            else
                Request(new(WhvX64InterruptType.Init, (uint)i));
        }
    }
}
