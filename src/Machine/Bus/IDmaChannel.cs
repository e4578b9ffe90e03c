namespace Farm.Machine.Bus;

/// <summary>One channel of the 8237 pair as a device sees it (DREQ/DACK).</summary>
public interface IDmaChannel
{
    /// <summary>True when the channel is programmed and unmasked.</summary>
    bool Ready { get; }

    /// <summary>Device to memory. Returns the number of bytes taken before terminal count; <paramref name="terminalCount"/> says whether TC was reached.</summary>
    int WriteToMemory(ReadOnlySpan<byte> data, out bool terminalCount);

    /// <summary>Memory to device. Returns the number of bytes delivered before terminal count.</summary>
    int ReadFromMemory(Span<byte> data, out bool terminalCount);
}
