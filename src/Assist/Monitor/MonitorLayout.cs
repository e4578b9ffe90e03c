namespace Farm.Assist.Monitor;

/// <summary>
/// Where the resident monitor lies in guest-physical memory, and the places shared with the host half. All of it is guest memory:
/// what is read there is never trusted.
/// </summary>
public static class MonitorLayout
{
    /// <summary>Where the loader puts the assist's image.</summary>
    public const uint BlobBase = 0xD0000;

    /// <summary>The monitor's own RAM: out of reach of real-mode code, bit 20 clear.</summary>
    public const uint Base = 0xFFE80000;

    /// <summary>Code, IDT and GDT, one copy for all processors.</summary>
    public const uint SharedSize = 0x4000;
    public const uint IdtOffset = 0x2000;
    public const uint GdtOffset = 0x2800;

    /// <summary>End of what the blob copies.</summary>
    public const uint ImageSize = 0x2A00;

    /// <summary>Per processor: data page, stack, TSS.</summary>
    public const uint SliceSize = 0x4000;
    public const int MaxProcessors = 31;

    public const ushort CodeSelector = 0x08, DataSelector = 0x10, FirstTssSelector = 0x18;
    public const ushort IdtLimit = (256 * 8) - 1;
    public const ushort GdtLimit = (ushort)(FirstTssSelector + (MaxProcessors * 8) - 1);

    /// <summary>
    /// The private port: the monitor tells the host half with one OUT of a <see cref="MonitorCall"/>. The I/O bitmap closes it to
    /// virtual-8086 code; anywhere else than in the monitor it is an ordinary port with nothing behind it.
    /// </summary>
    public const ushort Port = 0x0A86;

    /// <summary>The gate by which every external interrupt enters; its guest vector stands at <see cref="InterruptVector"/>.</summary>
    public const byte InterruptGate = 0xFF;

    // Data page of a slice.

    /// <summary>Byte: 1 while the guest's vector table is the 256-entry one at 0, so that the monitor may reflect by itself.</summary>
    public const uint PlainIvt = 0;

    /// <summary>Byte: 1 from before a call until the host half has dealt with it.</summary>
    public const uint Calling = 1;

    /// <summary>Byte: the vector that the guest's interrupt controller gave for the interrupt in delivery.</summary>
    public const uint InterruptVector = 2;

    /// <summary>Byte: the vector that a <see cref="MonitorCall.Reflect"/> is about.</summary>
    public const uint CallVector = 3;

    /// <summary>Dword: events reflected without the host half.</summary>
    public const uint Reflected = 4;

    /// <summary>Stack top and beginning of the TSS.</summary>
    public const uint Tss = 0x800;
    public const uint RedirectionBitmap = Tss + 0x68;
    public const uint IoBitmap = RedirectionBitmap + 0x20;
    public const uint TssLimit = 0x68 + 0x20 + 0x2000;

    /// <summary>The frame at the stack's top that every gate builds: PUSHAD, vector, error code, then what the processor pushed.</summary>
    public const uint Frame = Tss - MonitorFrame.Size;

    /// <summary>Base of a processor's slice.</summary>
    public static uint Slice(int processor) => Base + SharedSize + ((uint)processor * SliceSize);

    public static ushort TssSelector(int processor) => (ushort)(FirstTssSelector + (processor * 8));
}

/// <summary>What the monitor tells through its port.</summary>
public enum MonitorCall : byte
{
    /// <summary>The monitor is set up; virtual-8086 mode is entered next.</summary>
    Enter = 1,

    /// <summary>#GP or #SS in virtual-8086 mode: emulate the instruction.</summary>
    Trap = 2,

    /// <summary>An event that the monitor does not reflect by itself: moved vector table, or a stack that wraps.</summary>
    Reflect = 3,

    /// <summary>An exception in the monitor.</summary>
    Panic = 4,
}
