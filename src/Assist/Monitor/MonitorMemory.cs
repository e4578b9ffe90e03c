using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;

namespace Farm.Assist.Monitor;

/// <summary>The host half's access to a processor's slice of the monitor's RAM. What both halves share lies in its first page.</summary>
internal sealed unsafe class MonitorMemory(PhysicalMemory memory, int processor)
{
    /// <summary>Instead of a vector.</summary>
    public const int NoVector = 0x100;

    private const int Unknown = -1, NotPlain = 0x200;

    private readonly uint _slice = MonitorLayout.Slice(processor);
    private byte* _page;

    /// <summary>What <see cref="ShowVectorTable"/> wrote last: the trapped vector, with <see cref="NotPlain"/>; or <see cref="Unknown"/>.</summary>
    private int _shown = Unknown;

    /// <summary>The interrupted state. The guest may write there at any time: each field is to be looked at once.</summary>
    public MonitorFrame* Frame => (MonitorFrame*)(Page + MonitorLayout.Frame);

    /// <summary>The monitor waits for the answer to a call.</summary>
    public bool Calling => Page[MonitorLayout.Calling] != 0;

    /// <summary>The vector that a <see cref="MonitorCall.Reflect"/> is about.</summary>
    public byte CallVector => Page[MonitorLayout.CallVector];

    /// <summary>Events reflected without the host half.</summary>
    public uint Reflected => Unsafe.ReadUnaligned<uint>(Page + MonitorLayout.Reflected);

    /// <summary>It never lies elsewhere: what a guest can move stays within the window of PCI.</summary>
    private byte* Page
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _page != null ? _page : Find();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private byte* Find() => _page = memory.HostAt(_slice);

    /// <summary>To be called before what follows here writes: a guest may have executed what lies there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void BeforeWrite()
    {
        if ((memory.Kinds[_slice >> PhysicalMemory.PageShift] & (PageKind.Code | PageKind.Watched)) != 0)
            memory.BeforeStore(_slice, PhysicalMemory.PageSize);
    }

    /// <summary>The call is answered: the monitor goes on.</summary>
    public void EndCall() => Page[MonitorLayout.Calling] = 0;

    /// <summary>The guest's vector of the interrupt that enters by the gate for all of them.</summary>
    public void SetInterruptVector(byte vector)
    {
        BeforeWrite();
        Page[MonitorLayout.InterruptVector] = vector;
    }

    /// <summary>Puts the monitor's shared part back as it was built.</summary>
    public void Restore(MonitorImage image) => memory.Write(MonitorLayout.Base, image.Monitor.Span);

    /// <summary>What was shown of the vector table may be there no longer.</summary>
    public void ForgetVectorTable() => _shown = Unknown;

    /// <summary>
    /// Tells the monitor whether the guest's vector table is the <paramref name="plain"/> one at 0. If not, it leaves reflection to the
    /// host half, and the redirection bitmap sends INT n to the host half too, as it always does with <paramref name="trapped"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ShowVectorTable(bool plain, int trapped = NoVector)
    {
        int wanted = trapped | (plain ? 0 : NotPlain);
        if (wanted != _shown)
            WriteVectorTable(plain, trapped);
        _shown = wanted;
    }

    private void WriteVectorTable(bool plain, int trapped)
    {
        Page[MonitorLayout.PlainIvt] = plain ? (byte)1 : (byte)0;
        var bitmap = new Span<byte>(Page + MonitorLayout.RedirectionBitmap, 32);
        bitmap.Fill(plain ? (byte)0 : (byte)0xFF);
        if (trapped != NoVector)
            bitmap[trapped / 8] |= (byte)(1 << (trapped % 8));
    }

    /// <summary>Keeps a vector's gate from INT n in virtual-8086 mode, which then is #GP: a trap.</summary>
    public void CloseGate(byte vector) => memory.Write(MonitorLayout.Base + MonitorLayout.IdtOffset + (vector * 8u) + 5, [MonitorImage.ClosedGate]);
}
