using Farm.Assist.Monitor;

namespace Farm.Firmware.Tests;

public sealed class MemoryMapTests
{
    [Theory]
    [InlineData(1ul << 20)]
    [InlineData(64ul << 20)]
    [InlineData(3ul << 30)]
    [InlineData(8ul << 30)]
    public void Ranges_ascend_without_overlap(ulong ram)
    {
        var map = new MemoryMap(ram, 0x40000);

        for (int i = 1; i < map.Ranges.Count; i++)
            Assert.True(map.Ranges[i - 1].End <= map.Ranges[i].Start, $"{map.Ranges[i - 1]} {map.Ranges[i]}");
    }

    [Fact]
    public void Ram_beyond_the_pci_hole_lies_above_4_GiB()
    {
        var map = new MemoryMap(4ul << 30);

        Assert.Equal(0xC0000000ul, map.RamBelow4G);
        Assert.Contains(new MemoryRange(1ul << 32, 1ul << 30, MemoryRangeKind.Ram, "high memory"), map.Ranges);
        Assert.Contains(new E820Entry(1ul << 32, 1ul << 30, 1), map.E820);
    }

    [Fact]
    public void Cmos_cells_give_the_sizes()
    {
        var cells = new MemoryMap((8ul << 30) + (256ul << 20)).CmosCells;

        Assert.Equal(640, cells[0x15] | (cells[0x16] << 8));
        Assert.Equal(0xFFFF, cells[0x30] | (cells[0x31] << 8));
        Assert.Equal(0xBF00, cells[0x34] | (cells[0x35] << 8));
        Assert.Equal(((8 - 3) << 14) + (256 << 4), cells[0x5B] | (cells[0x5C] << 8) | (cells[0x5D] << 16));
    }

    [Fact]
    public void Cmos_cells_of_a_small_machine()
    {
        var cells = new MemoryMap(8ul << 20).CmosCells;

        Assert.Equal(7 * 1024, cells[0x17] | (cells[0x18] << 8));
        Assert.Equal(0, cells[0x34] | cells[0x35]);
    }

    [Theory]
    [InlineData(0xFFFFFul)]
    [InlineData(0x100001ul)]
    [InlineData(64ul << 30)]
    public void Impossible_sizes_are_refused(ulong ram)
    {
        Assert.Throws<ArgumentException>(() => new MemoryMap(ram));
    }

    [Fact]
    public void The_assist_is_linked_for_its_places_in_the_map()
    {
        Assert.Equal(MemoryMap.AssistRam, MonitorLayout.Base);
        Assert.Equal(MemoryMap.AssistBlob, MonitorLayout.BlobBase);
        Assert.Equal(LoaderImage.StackTop, MonitorLayout.Slice(0));
        Assert.True(MonitorLayout.Slice(MonitorLayout.MaxProcessors) <= MemoryMap.AssistRam + MemoryMap.AssistRamSize);
    }

    [Fact]
    public void Loader_and_assist_do_not_depend_on_A20()
    {
        Assert.Equal(0u, MemoryMap.LoaderRom & 0x100000);
        Assert.Equal(0u, (MemoryMap.AssistRam + MemoryMap.AssistRamSize - 1) & 0x100000);
    }
}
