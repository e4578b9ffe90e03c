using System.Runtime.InteropServices;

namespace Farm.Assist.Tests.Native;

/// <summary>Memory for code that the host's own processor executes. x86-64 Linux only.</summary>
internal static unsafe partial class HostMemory
{
    private const int ReadWrite = 3, ReadWriteExecute = 7;
    private const int PrivateAnonymous = 0x22, FixedNoReplace = 0x100000;

    /// <summary>Skips the test on another host.</summary>
    public static void Require() => Assert.SkipUnless(
        OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64, "The host is not x86-64 Linux: nothing to compare with.");

    /// <param name="address">Where it has to lie; null: anywhere.</param>
    public static byte* Map(ulong? address, int length, bool executable)
    {
        void* at = MapMemory(
            (void*)(address ?? 0), (nuint)length, executable ? ReadWriteExecute : ReadWrite, PrivateAnonymous | (address is null ? 0 : FixedNoReplace), -1, 0);
        if ((nint)at == -1 || (address is { } wanted && (ulong)at != wanted))
            throw new InvalidOperationException($"mmap of {length:X}h bytes at {address:X}h failed, errno {Marshal.GetLastPInvokeError()}.");
        return (byte*)at;
    }

    public static void Unmap(byte* at, int length) => _ = UnmapMemory(at, (nuint)length);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial void* MapMemory(void* address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int UnmapMemory(void* address, nuint length);
}
