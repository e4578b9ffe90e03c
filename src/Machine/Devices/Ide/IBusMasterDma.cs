namespace Farm.Machine.Devices.Ide;

/// <summary>
/// The bus master of one IDE channel as the channel's devices see it (DMARQ/DMACK): it follows the PRD table that the guest
/// programmed. (Programming Interface for Bus Master IDE Controller, rev. 1.0.)
/// </summary>
/// <remarks>
/// The bus master calls <see cref="AtaChannel.BusMasterStarted"/> when the guest sets Start; the channel then moves data from
/// its timer for as long as <see cref="Started"/> holds. It learns of the end by the edge of the channel's INTRQ: give the
/// channel an <see cref="Bus.InterruptLine"/> that sets the Interrupt bit of BMISX on its rising edge and passes the level on.
/// </remarks>
public interface IBusMasterDma
{
    /// <summary>The Start bit of BMICX is set and the PRD table is not exhausted.</summary>
    bool Started { get; }

    /// <summary>
    /// Device to memory. Returns the bytes taken; fewer than given when the PRD table ended, when the bus master is stopped or
    /// when it is programmed for the other direction.
    /// </summary>
    int WriteToMemory(ReadOnlySpan<byte> data);

    /// <summary>Memory to device. Returns the bytes delivered; fewer than asked for under the same conditions.</summary>
    int ReadFromMemory(Span<byte> data);
}
