using System.Runtime.InteropServices;
using Tmds.Linux;

namespace Farm.Machine.Hypervisors.Kvm.Native;

/// <summary>A file of KVM's (/dev/kvm, a VM, a vCPU) and what one can do with it: the seam over the kernel.</summary>
internal abstract unsafe class KvmFile : IDisposable
{
    /// <summary>The plain call: the result, or minus errno.</summary>
    public abstract int Try(uint request, void* argument);

    /// <summary>KVM_RUN, which is called more often than all others together.</summary>
    public virtual int Run() => Try(KvmIoctl.Run);

    /// <summary>The file of a descriptor that a call on this one gave.</summary>
    public abstract KvmFile Of(int descriptor);

    /// <summary>The pages shared with the kernel; null and errno where there are none.</summary>
    public abstract void* Map(nuint size, out int error);

    public abstract void Unmap(void* pages, nuint size);

    public abstract void Dispose();

    public int Try(uint request, long argument = 0) => Try(request, (void*)argument);

    /// <summary>Repeats where a signal interrupted: the result, or minus errno.</summary>
    public int Repeat(uint request, void* argument)
    {
        int result;
        do
            result = Try(request, argument);
        while (result == -LibC.EINTR);
        return result;
    }

    /// <summary>Repeats where a signal interrupted; a failure is the host's: <see cref="HostException"/>.</summary>
    public int Call(uint request, void* argument, string what)
    {
        int result = Repeat(request, argument);
        return result >= 0 ? result : throw new HostException($"KVM: {what} failed: {Describe(-result)}.");
    }

    public int Call(uint request, long argument, string what) => Call(request, (void*)argument, what);

    /// <summary>KVM_ENABLE_CAP of a VM.</summary>
    public void Enable(KvmCap cap, ulong argument, string name)
    {
        var enable = new KvmEnableCap { Cap = (uint)cap };
        enable.Args[0] = argument;
        Call(KvmIoctl.EnableCap, &enable, $"KVM_ENABLE_CAP of {name}");
    }

    public static string Describe(int error) => $"errno {error} ({new System.ComponentModel.Win32Exception(error).Message})";
}

/// <summary>The kernel's own.</summary>
internal sealed unsafe partial class KernelFile(int descriptor) : KvmFile
{
    private int _descriptor = descriptor;

    public override int Try(uint request, void* argument)
    {
        int result = LibC.ioctl(_descriptor, unchecked((int)request), argument);
        return result < 0 ? -LibC.errno : result;
    }

    /// <summary>
    /// To have errno kept costs as much as the rest of the call. A call that failed fails again, and then errno is kept: what ended it (a kick,
    /// an error) is still there, or the guest just runs.
    /// </summary>
    public override int Run() => ControlDevice(_descriptor, KvmIoctl.Run, 0) is >= 0 and var result ? result : base.Run();

    [LibraryImport("libc.so.6", EntryPoint = "ioctl")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int ControlDevice(int descriptor, nuint request, nint argument);

    public override KvmFile Of(int descriptor) => new KernelFile(descriptor);

    public override void* Map(nuint size, out int error)
    {
        void* pages = LibC.mmap(null, (size_t)(ulong)size, LibC.PROT_READ | LibC.PROT_WRITE, LibC.MAP_SHARED, _descriptor, 0);
        error = pages == (void*)-1 ? LibC.errno : 0;
        return error == 0 ? pages : null;
    }

    public override void Unmap(void* pages, nuint size) => _ = LibC.munmap(pages, (size_t)(ulong)size);

    public override void Dispose()
    {
        if (_descriptor >= 0)
            _ = LibC.close(_descriptor);
        _descriptor = -1;
    }
}
