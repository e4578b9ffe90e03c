using System.Runtime.InteropServices;
using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors;
using Tmds.Linux;

namespace Farm.Machine.Memory;

/// <summary>
/// A zeroed, page-aligned block of host memory; the operating system commits it as it is touched. On Linux inaccessible pages lie on
/// both sides, so that an access that leaves guest memory ends the process instead of reaching the host's.
/// </summary>
public sealed unsafe class HostMemory : IDisposable
{
    /// <summary>Wider than any single access of a device or a processor.</summary>
    private const ulong Guard = 1 << 20;

    private void* _block;

    public HostMemory(ulong length)
    {
        Length = (length + PhysicalMemory.PageSize - 1) & ~(ulong)(PhysicalMemory.PageSize - 1);
        if (OperatingSystem.IsLinux())
        {
            void* block = LibC.mmap(null, (size_t)(Length + 2 * Guard), LibC.PROT_NONE, LibC.MAP_PRIVATE | LibC.MAP_ANONYMOUS | LibC.MAP_NORESERVE, -1, 0);
            if (block == (void*)-1)
                throw NoMemory();
            _block = block;
            Start = (byte*)block + Guard;
            if (LibC.mprotect(Start, (size_t)Length, LibC.PROT_READ | LibC.PROT_WRITE) != 0)
            {
                Dispose();
                throw NoMemory();
            }
            return;
        }
        try
        {
            _block = NativeMemory.AllocZeroed((nuint)Length + PhysicalMemory.PageSize);
        }
        catch (OutOfMemoryException)
        {
            throw NoMemory();
        }
        Start = (byte*)(((nuint)_block + PhysicalMemory.PageSize - 1) & ~(nuint)(PhysicalMemory.PageSize - 1));
    }

    public HostMemory(ReadOnlySpan<byte> content)
        : this((ulong)content.Length) => content.CopyTo(new Span<byte>(Start, content.Length));

    public byte* Start { get; private set; }

    public ulong Length { get; }

    public void Clear() => NativeMemory.Clear(Start, (nuint)Length);

    public void Dispose()
    {
        if (_block == null)
            return;
        if (OperatingSystem.IsLinux())
            _ = LibC.munmap(_block, (size_t)(Length + 2 * Guard));
        else
            NativeMemory.Free(_block);
        _block = null;
        Start = null;
    }

    private HostException NoMemory() =>
        new($"This host has no room for {Math.Max(1, Length >> 20)} MiB of guest memory; give the guest less (--memory), or end other machines.");
}
