using System.Runtime.InteropServices;

namespace Farm.Machine.Hypervisors.Whp.Native;

/// <summary>
/// The functions of WinHvPlatform.dll that the backend calls, as a table, so that tests can put a stand-in in their place. They return
/// HRESULTs.
/// </summary>
internal sealed unsafe class WhpApi
{
    public const string Library = "WinHvPlatform.dll";

    public required delegate* unmanaged<WhvCapabilityCode, void*, uint, uint*, int> GetCapability { get; init; }

    public required delegate* unmanaged<nint*, int> CreatePartition { get; init; }

    public required delegate* unmanaged<nint, int> SetupPartition { get; init; }

    public required delegate* unmanaged<nint, int> DeletePartition { get; init; }

    public required delegate* unmanaged<nint, WhvPartitionPropertyCode, void*, uint, int> SetPartitionProperty { get; init; }

    public required delegate* unmanaged<nint, void*, ulong, ulong, WhvMapGpaRangeFlag, int> MapGpaRange { get; init; }

    public required delegate* unmanaged<nint, ulong, ulong, int> UnmapGpaRange { get; init; }

    public required delegate* unmanaged<nint, uint, uint, int> CreateVirtualProcessor { get; init; }

    public required delegate* unmanaged<nint, uint, int> DeleteVirtualProcessor { get; init; }

    public required delegate* unmanaged<nint, uint, void*, uint, int> RunVirtualProcessor { get; init; }

    public required delegate* unmanaged<nint, uint, uint, int> CancelRunVirtualProcessor { get; init; }

    public required delegate* unmanaged<nint, uint, WhvRegister*, uint, WhvRegisterValue*, int> GetVirtualProcessorRegisters { get; init; }

    public required delegate* unmanaged<nint, uint, WhvRegister*, uint, WhvRegisterValue*, int> SetVirtualProcessorRegisters { get; init; }

    /// <summary>Null with the two below: this Windows cannot emulate local APICs.</summary>
    public delegate* unmanaged<nint, WhvInterruptControl*, uint, int> RequestInterrupt { get; init; }

    public delegate* unmanaged<nint, uint, void*, uint, uint*, int> GetVirtualProcessorInterruptControllerState { get; init; }

    public delegate* unmanaged<nint, uint, void*, uint, int> SetVirtualProcessorInterruptControllerState { get; init; }

    /// <summary>Null: this Windows logs no stores.</summary>
    public delegate* unmanaged<nint, ulong, ulong, ulong*, uint, int> QueryGpaRangeDirtyBitmap { get; init; }

    /// <summary>The functions around the platform's local APICs are there; Windows 10 version 1903 and later has them.</summary>
    public bool HasLocalApics => RequestInterrupt != null && GetVirtualProcessorInterruptControllerState != null && SetVirtualProcessorInterruptControllerState != null;

    /// <summary>Loads the library; throws <see cref="HostException"/> that says what to turn on.</summary>
    public static WhpApi Load()
    {
        if (!OperatingSystem.IsWindows() || RuntimeInformation.ProcessArchitecture != Architecture.X64)
            throw new HostException("WHP needs 64-bit Windows 10 version 1803 or later on x64; use --backend kvm (Linux) or --backend soft (anywhere).");
        if (!NativeLibrary.TryLoad(Library, typeof(WhpApi).Assembly, DllImportSearchPath.System32, out nint library))
        {
            throw new HostException($"{Library} is missing: turn on the Windows feature \"Windows Hypervisor Platform\" (as administrator: "
                + "dism /online /enable-feature /featurename:HypervisorPlatform), restart Windows, or use --backend soft.");
        }
        return new WhpApi
        {
            GetCapability = (delegate* unmanaged<WhvCapabilityCode, void*, uint, uint*, int>)Find("WHvGetCapability"),
            CreatePartition = (delegate* unmanaged<nint*, int>)Find("WHvCreatePartition"),
            SetupPartition = (delegate* unmanaged<nint, int>)Find("WHvSetupPartition"),
            DeletePartition = (delegate* unmanaged<nint, int>)Find("WHvDeletePartition"),
            SetPartitionProperty = (delegate* unmanaged<nint, WhvPartitionPropertyCode, void*, uint, int>)Find("WHvSetPartitionProperty"),
            MapGpaRange = (delegate* unmanaged<nint, void*, ulong, ulong, WhvMapGpaRangeFlag, int>)Find("WHvMapGpaRange"),
            UnmapGpaRange = (delegate* unmanaged<nint, ulong, ulong, int>)Find("WHvUnmapGpaRange"),
            CreateVirtualProcessor = (delegate* unmanaged<nint, uint, uint, int>)Find("WHvCreateVirtualProcessor"),
            DeleteVirtualProcessor = (delegate* unmanaged<nint, uint, int>)Find("WHvDeleteVirtualProcessor"),
            RunVirtualProcessor = (delegate* unmanaged<nint, uint, void*, uint, int>)Find("WHvRunVirtualProcessor"),
            CancelRunVirtualProcessor = (delegate* unmanaged<nint, uint, uint, int>)Find("WHvCancelRunVirtualProcessor"),
            GetVirtualProcessorRegisters = (delegate* unmanaged<nint, uint, WhvRegister*, uint, WhvRegisterValue*, int>)Find("WHvGetVirtualProcessorRegisters"),
            SetVirtualProcessorRegisters = (delegate* unmanaged<nint, uint, WhvRegister*, uint, WhvRegisterValue*, int>)Find("WHvSetVirtualProcessorRegisters"),
            RequestInterrupt = (delegate* unmanaged<nint, WhvInterruptControl*, uint, int>)Optional("WHvRequestInterrupt"),
            GetVirtualProcessorInterruptControllerState = (delegate* unmanaged<nint, uint, void*, uint, uint*, int>)Optional("WHvGetVirtualProcessorInterruptControllerState2"),
            SetVirtualProcessorInterruptControllerState = (delegate* unmanaged<nint, uint, void*, uint, int>)Optional("WHvSetVirtualProcessorInterruptControllerState2"),
            QueryGpaRangeDirtyBitmap = (delegate* unmanaged<nint, ulong, ulong, ulong*, uint, int>)Optional("WHvQueryGpaRangeDirtyBitmap"),
        };

        void* Optional(string name) => NativeLibrary.TryGetExport(library, name, out nint address) ? (void*)address : null;

        void* Find(string name) => NativeLibrary.TryGetExport(library, name, out nint address)
            ? (void*)address
            : throw new HostException($"This Windows' {Library} has no {name}; Windows 10 version 1803 or later is needed (or --backend soft).");
    }

    /// <summary>Throws <see cref="HostException"/> unless the call succeeded.</summary>
    public static void Check(int result, string call)
    {
        if (result < 0)
            throw new HostException($"WHP: {call} failed: {WhvResult.Describe(result)}.");
    }
}
