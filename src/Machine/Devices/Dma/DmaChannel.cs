using Farm.Machine.Bus;

namespace Farm.Machine.Devices.Dma;

/// <summary>
/// One channel. Channels 5-7 move words: their addresses and counts are in words and wrap inside 128 KiB, the others' inside 64 KiB.
/// </summary>
internal sealed class DmaChannel(I8237 controller, IGuestMemory memory, int number) : IDmaChannel
{
    private readonly int _shift = number >= 4 ? 1 : 0;

    public ushort BaseAddress { get; set; }

    public ushort BaseCount { get; set; }

    public ushort CurrentAddress { get; set; }

    public ushort CurrentCount { get; set; }

    public byte Page { get; set; }

    public DmaMode Mode { get; set; }

    public bool Masked { get; set; } = true;

    public bool TerminalCount { get; set; }

    public bool Ready => !Masked && (Mode & DmaMode.Cascade) != DmaMode.Cascade && controller.Serves(number);

    public int WriteToMemory(ReadOnlySpan<byte> data, out bool terminalCount)
    {
        int done = 0;
        terminalCount = false;
        bool store = (Mode & DmaMode.TransferMask) == DmaMode.WriteTransfer;
        while (!terminalCount && Ready && data.Length - done >= 1 << _shift)
        {
            int units = Run((data.Length - done) >> _shift);
            if (store)
                memory.Write(PhysicalAddress, data.Slice(done, units << _shift));
            done += units << _shift;
            terminalCount = Advance(units);
        }
        return done;
    }

    public int ReadFromMemory(Span<byte> data, out bool terminalCount)
    {
        int done = 0;
        terminalCount = false;
        bool fetch = (Mode & DmaMode.TransferMask) == DmaMode.ReadTransfer;
        while (!terminalCount && Ready && data.Length - done >= 1 << _shift)
        {
            int units = Run((data.Length - done) >> _shift);
            var part = data.Slice(done, units << _shift);
            if (fetch)
                memory.Read(PhysicalAddress, part);
            else
                part.Fill(0xFF);
            done += units << _shift;
            terminalCount = Advance(units);
        }
        return done;
    }

    public void Reset()
    {
        BaseAddress = BaseCount = CurrentAddress = CurrentCount = 0;
        Page = 0;
        Mode = 0;
        Masked = true;
        TerminalCount = false;
    }

    private ulong PhysicalAddress => _shift == 0
        ? (ulong)Page << 16 | CurrentAddress
        : (ulong)(Page & 0xFE) << 16 | (ulong)CurrentAddress << 1;

    /// <summary>Units that can move at once: until terminal count and until the address wraps.</summary>
    private int Run(int wanted)
    {
        if ((Mode & DmaMode.AddressDecrement) != 0)
            return 1;
        return Math.Min(wanted, Math.Min(CurrentCount + 1, 0x10000 - CurrentAddress));
    }

    private bool Advance(int units)
    {
        CurrentAddress = (ushort)((Mode & DmaMode.AddressDecrement) != 0 ? CurrentAddress - units : CurrentAddress + units);
        bool ended = units > CurrentCount;
        CurrentCount = (ushort)(CurrentCount - units);
        if (!ended)
            return false;
        TerminalCount = true;
        if ((Mode & DmaMode.Autoinitialize) != 0)
        {
            CurrentAddress = BaseAddress;
            CurrentCount = BaseCount;
        }
        else
        {
            Masked = true;
        }
        return true;
    }
}
