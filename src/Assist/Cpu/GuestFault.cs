namespace Farm.Assist.Cpu;

/// <summary>
/// An architectural exception raised by the instruction in execution. One instance per processor is thrown again and again, so
/// throwing allocates nothing; it never leaves the processor's run loop.
/// </summary>
public sealed class GuestFault : Exception
{
    public byte Vector { get; set; }

    public bool HasErrorCode { get; set; }

    public uint ErrorCode { get; set; }
}
