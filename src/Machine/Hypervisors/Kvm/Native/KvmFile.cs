using Tmds.Linux;

namespace Farm.Machine.Hypervisors.Kvm.Native;

/// <summary>A file descriptor of /dev/kvm, of a VM or of a vCPU.</summary>
internal sealed unsafe class KvmFile(int descriptor) : IDisposable
{
    private const int OpenReadWriteCloexec = 0x80002;

    private int _descriptor = descriptor;

    public int Descriptor => _descriptor;

    /// <summary>Opens a path; null and errno where it cannot.</summary>
    public static KvmFile? TryOpen(string path, out int error)
    {
        fixed (byte* name = System.Text.Encoding.UTF8.GetBytes(path + '\0'))
        {
            int descriptor = LibC.open(name, OpenReadWriteCloexec, default);
            error = descriptor < 0 ? LibC.errno : 0;
            return descriptor < 0 ? null : new KvmFile(descriptor);
        }
    }

    /// <summary>The plain call: the result, or minus errno.</summary>
    public int Try(uint request, void* argument)
    {
        int result = LibC.ioctl(_descriptor, unchecked((int)request), argument);
        return result < 0 ? -LibC.errno : result;
    }

    public int Try(uint request, long argument = 0) => Try(request, (void*)argument);

    /// <summary>Repeats where a signal interrupted; a failure is the host's: <see cref="HostException"/>.</summary>
    public int Call(uint request, void* argument, string what)
    {
        int result;
        do
            result = Try(request, argument);
        while (result == -LibC.EINTR);
        return result >= 0 ? result : throw new HostException($"KVM: {what} failed: {Describe(-result)}.");
    }

    public int Call(uint request, long argument, string what) => Call(request, (void*)argument, what);

    public static string Describe(int error) => $"errno {error} ({new System.ComponentModel.Win32Exception(error).Message})";

    public void Dispose()
    {
        if (_descriptor >= 0)
            _ = LibC.close(_descriptor);
        _descriptor = -1;
    }
}
