using Farm.Firmware;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Soft;
using Farm.Machine.Memory;

namespace Farm.Machine.Tests.Memory;

public sealed unsafe class HostMemoryTests
{
    [Fact]
    public void A_block_is_zeroed_aligned_and_writable_to_its_last_byte()
    {
        using var memory = new HostMemory(0x12345);
        Assert.Equal(0x13000ul, memory.Length);
        Assert.Equal(0ul, (ulong)memory.Start & 0xFFF);
        Assert.Equal(0, memory.Start[0x12FFF]);
        memory.Start[0x12FFF] = 1;
        memory.Start[0] = 1;
    }

    [Fact]
    public void A_block_takes_no_memory_until_it_is_touched()
    {
        using var memory = new HostMemory(MemoryMap.MostRam());
        memory.Start[memory.Length - 1] = 1;
        Assert.Equal(0, memory.Start[memory.Length / 2]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(65536)]
    [InlineData(int.MaxValue)]
    public void An_impossible_size_is_bad_input(int size)
    {
        var error = Assert.Throws<BadInputException>(() => MachineBuilder.Build(new MachineOptions { MemoryMiB = size }, new SoftHypervisor()));
        Assert.Contains("1 to 64512", error.Message, StringComparison.Ordinal);
    }
}
