using System.Runtime.InteropServices;
using Farm.Assist.Cpu;

namespace Farm.Machine.Memory;

/// <summary>A zeroed, page-aligned block of host memory; the operating system commits it as it is touched.</summary>
public sealed unsafe class HostMemory : IDisposable
{
    private void* _block;

    public HostMemory(ulong length)
    {
        Length = (length + PhysicalMemory.PageSize - 1) & ~(ulong)(PhysicalMemory.PageSize - 1);
        _block = NativeMemory.AllocZeroed((nuint)Length + PhysicalMemory.PageSize);
        Start = (byte*)(((nuint)_block + PhysicalMemory.PageSize - 1) & ~(nuint)(PhysicalMemory.PageSize - 1));
    }

    public HostMemory(ReadOnlySpan<byte> content)
        : this((ulong)content.Length) => content.CopyTo(new Span<byte>(Start, content.Length));

    public byte* Start { get; private set; }

    public ulong Length { get; }

    public void Clear() => NativeMemory.Clear(Start, (nuint)Length);

    public void Dispose()
    {
        NativeMemory.Free(_block);
        _block = null;
        Start = null;
    }
}
