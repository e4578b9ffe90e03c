using System.Runtime.InteropServices;
using Farm.Machine.Hypervisors;

namespace Farm.Machine.Network.Slirp;

/// <summary>The functions of libslirp (BSD-3-Clause), loaded when a machine with a network is built.</summary>
internal sealed class SlirpLibrary
{
    private static readonly string[] Names = OperatingSystem.IsWindows() ? ["libslirp-0.dll"] : OperatingSystem.IsMacOS() ? ["libslirp.0.dylib"] : ["libslirp.so.0"];
    private static readonly Lazy<SlirpLibrary?> Loaded = new(Load);

    private SlirpLibrary(nint library)
    {
        New = Function<NewFunction>(library, "slirp_new");
        Cleanup = Function<CleanupFunction>(library, "slirp_cleanup");
        Input = Function<InputFunction>(library, "slirp_input");
        PollFdsFill = Function<PollFdsFillFunction>(library, "slirp_pollfds_fill");
        PollFdsPoll = Function<PollFdsPollFunction>(library, "slirp_pollfds_poll");
        Version = Marshal.PtrToStringUTF8(Function<VersionFunction>(library, "slirp_version_string")()) ?? "";
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate nint NewFunction(in SlirpConfig config, nint callbacks, nint opaque);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void CleanupFunction(nint slirp);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void InputFunction(nint slirp, byte[] packet, int length);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void PollFdsFillFunction(nint slirp, ref uint timeout, SlirpAddPoll addPoll, nint opaque);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    public delegate void PollFdsPollFunction(nint slirp, int selectError, SlirpGetRevents getRevents, nint opaque);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate nint VersionFunction();

    public NewFunction New { get; }

    public CleanupFunction Cleanup { get; }

    public InputFunction Input { get; }

    public PollFdsFillFunction PollFdsFill { get; }

    public PollFdsPollFunction PollFdsPoll { get; }

    public string Version { get; }

    public static bool Available => Loaded.Value is not null;

    /// <exception cref="HostException">The library is not installed.</exception>
    public static SlirpLibrary Get() => Loaded.Value ?? throw new HostException(
        $"The guest's network needs libslirp ({Names[0]}), which is not installed. Install the package libslirp0 (apt-get install libslirp0), or run the guest without a network card.");

    private static SlirpLibrary? Load()
    {
        foreach (string name in Names)
        {
            if (NativeLibrary.TryLoad(name, out nint library))
                return new SlirpLibrary(library);
        }
        return null;
    }

    private static T Function<T>(nint library, string name) where T : Delegate => Marshal.GetDelegateForFunctionPointer<T>(NativeLibrary.GetExport(library, name));
}
