using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Farm.Assist.Monitor;

namespace Farm.Assist.Tests.Monitor;

public sealed class MonitorImageTests
{
    private static readonly MonitorImage s_image = MonitorImage.Build();

    [Fact]
    public void The_blob_is_an_option_rom_that_returns_at_once()
    {
        var blob = s_image.Blob.Span;

        Assert.Equal<byte>([0x55, 0xAA], blob[..2].ToArray());
        Assert.Equal(blob.Length, blob[2] * 512);
        Assert.Equal(0, blob.Length % 2048);
        Assert.Equal(0xCB, blob[3]);
        Assert.Equal(0, blob[0x18] | blob[0x19] | blob[0x1A] | blob[0x1B]);
        byte sum = 0;
        foreach (byte value in blob)
            sum += value;
        Assert.Equal(0, sum);
    }

    [Fact]
    public void Each_gate_leads_into_the_monitors_code()
    {
        var idt = s_image.Monitor.Span[(int)MonitorLayout.IdtOffset..];
        for (int vector = 0; vector < 256; vector++)
        {
            ulong gate = BinaryPrimitives.ReadUInt64LittleEndian(idt[(vector * 8)..]);
            uint handler = (uint)(gate & 0xFFFF) | (uint)(gate >> 48 << 16);
            Assert.InRange(handler, MonitorLayout.Base, s_image.CodeEnd);
            Assert.Equal(MonitorLayout.CodeSelector, (ushort)(gate >> 16));
            bool open = vector is not (8 or 10 or 11 or 12 or 13 or 14 or 17 or MonitorLayout.InterruptGate);
            Assert.Equal(open ? 0xEE : 0x8E, (byte)(gate >> 40));
        }
    }

    [Fact]
    public void The_slices_fit_the_private_ram_and_do_not_overlap()
    {
        uint last = MonitorLayout.Slice(MonitorLayout.MaxProcessors - 1);

        Assert.True(last + MonitorLayout.SliceSize <= MonitorLayout.Base + 0x80000);
        Assert.True(MonitorLayout.Tss + MonitorLayout.TssLimit < MonitorLayout.SliceSize);
        Assert.True(MonitorLayout.ImageSize <= MonitorLayout.SharedSize);
        Assert.True(MonitorLayout.GdtOffset + MonitorLayout.GdtLimit < MonitorLayout.ImageSize);
        Assert.Equal(MonitorFrame.Size, Unsafe.SizeOf<MonitorFrame>());
    }
}
