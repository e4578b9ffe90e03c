using System.Runtime.InteropServices;
using Farm.Assist.Cpu;

namespace Farm.Assist.Monitor;

/// <summary>The host half's access to a processor's slice of the monitor's RAM.</summary>
internal sealed class MonitorMemory(PhysicalMemory memory, int processor)
{
    private readonly uint _slice = MonitorLayout.Slice(processor);

    public byte ReadByte(uint offset)
    {
        Span<byte> value = stackalloc byte[1];
        memory.Read(_slice + offset, value);
        return value[0];
    }

    public void WriteByte(uint offset, byte value) => memory.Write(_slice + offset, [value]);

    public uint ReadDword(uint offset)
    {
        Span<byte> value = stackalloc byte[4];
        memory.Read(_slice + offset, value);
        return MemoryMarshal.Read<uint>(value);
    }

    /// <summary>Puts the monitor's shared part back as it was built.</summary>
    public void Restore(MonitorImage image) => memory.Write(MonitorLayout.Base, image.Monitor.Span);

    public MonitorFrame ReadFrame()
    {
        MonitorFrame frame = default;
        memory.Read(_slice + MonitorLayout.Frame, MemoryMarshal.AsBytes(new Span<MonitorFrame>(ref frame)));
        return frame;
    }

    public void WriteFrame(in MonitorFrame frame) =>
        memory.Write(_slice + MonitorLayout.Frame, MemoryMarshal.AsBytes(new ReadOnlySpan<MonitorFrame>(in frame)));

    /// <summary>
    /// Tells the monitor whether the guest's vector table is the plain one at 0. If not, it leaves reflection to the host half, and
    /// the redirection bitmap sends INT n to the host half too, as it always does with <paramref name="trapped"/>.
    /// </summary>
    public void SetPlainIvt(bool plain, byte? trapped)
    {
        WriteByte(MonitorLayout.PlainIvt, plain ? (byte)1 : (byte)0);
        Span<byte> bitmap = stackalloc byte[32];
        bitmap.Fill(plain ? (byte)0 : (byte)0xFF);
        if (trapped is { } vector)
            bitmap[vector / 8] |= (byte)(1 << (vector % 8));
        memory.Write(_slice + MonitorLayout.RedirectionBitmap, bitmap);
    }

    /// <summary>Keeps a vector's gate from INT n in virtual-8086 mode, which then is #GP: a trap.</summary>
    public void CloseGate(byte vector) => memory.Write(MonitorLayout.Base + MonitorLayout.IdtOffset + (vector * 8u) + 5, [MonitorImage.ClosedGate]);
}
