namespace Farm.Machine.Bus;

/// <summary>
/// Guest-physical memory as a bus master sees it. Ranges outside RAM read as FFh and swallow writes (and answer false), so a
/// hostile descriptor can never reach outside guest RAM. Writes invalidate decoded code in the pages they touch.
/// </summary>
public interface IGuestMemory
{
    /// <summary>True when the whole range was RAM or ROM.</summary>
    bool Read(ulong address, Span<byte> destination);

    /// <summary>True when the whole range was writable RAM.</summary>
    bool Write(ulong address, ReadOnlySpan<byte> source);
}
