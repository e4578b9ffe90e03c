using System.Runtime.InteropServices;
using Farm.Machine.Hypervisors.Whp;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Backends.Tests.WhpStandIn;

/// <summary>
/// A stand-in for WinHvPlatform.dll with the same functions over the soft CPU. It behaves as the documentation of the API says, is as
/// awkward as the real one is known to be, and complains of calls that the real one would refuse: these end with E_INVALIDARG or
/// WHV_E_INVALID_VP_STATE, and stand in <see cref="StandInHost.Complaints"/>.
/// </summary>
internal static unsafe class StandInLibrary
{
    private const int InvalidArgument = unchecked((int)0x80070057), InvalidState = unchecked((int)0x80370308), Fail = unchecked((int)0x80004005);
    private const int InsufficientBuffer = unchecked((int)0x80370301);

    /// <summary>A backend that calls the stand-in instead of the DLL.</summary>
    public static WhpHypervisor NewHypervisor() => new(static () => Table());

    public static WhpApi Table() => new()
    {
        GetCapability = &GetCapability,
        CreatePartition = &CreatePartition,
        SetupPartition = &SetupPartition,
        DeletePartition = &DeletePartition,
        SetPartitionProperty = &SetPartitionProperty,
        MapGpaRange = &MapGpaRange,
        UnmapGpaRange = &UnmapGpaRange,
        QueryGpaRangeDirtyBitmap = &QueryGpaRangeDirtyBitmap,
        CreateVirtualProcessor = &CreateVirtualProcessor,
        DeleteVirtualProcessor = &DeleteVirtualProcessor,
        RunVirtualProcessor = &RunVirtualProcessor,
        CancelRunVirtualProcessor = &CancelRunVirtualProcessor,
        GetVirtualProcessorRegisters = &GetVirtualProcessorRegisters,
        SetVirtualProcessorRegisters = &SetVirtualProcessorRegisters,
        RequestInterrupt = &RequestInterrupt,
        GetVirtualProcessorInterruptControllerState = &GetVirtualProcessorInterruptControllerState,
        SetVirtualProcessorInterruptControllerState = &SetVirtualProcessorInterruptControllerState,
    };

    [UnmanagedCallersOnly]
    private static int GetCapability(WhvCapabilityCode code, void* buffer, uint size, uint* written) => Guard("WHvGetCapability", () =>
    {
        var host = StandInHost.Current;
        if ((code == WhvCapabilityCode.X64MsrExitBitmap && host.MsrExits is null) || (code == WhvCapabilityCode.ProcessorClockFrequency && host.ClockFrequency is null))
            return WhvResult.UnknownCapability;
        ulong value = code switch
        {
            WhvCapabilityCode.HypervisorPresent => host.HypervisorPresent ? 1u : 0,
            WhvCapabilityCode.Features => host.Features,
            WhvCapabilityCode.ExtendedVmExits => host.ExtendedExits,
            WhvCapabilityCode.ExceptionExitBitmap => host.ExceptionExits,
            WhvCapabilityCode.X64MsrExitBitmap => host.MsrExits!.Value,
            WhvCapabilityCode.ProcessorFeatures => host.ProcessorFeatures,
            WhvCapabilityCode.ProcessorClockFrequency => host.ClockFrequency!.Value,
            _ => throw new StandInMisuse(InvalidArgument, $"capability {code} is none that is known here"),
        };
        uint needed = code == WhvCapabilityCode.HypervisorPresent ? 4u : 8u;
        if (size < needed)
            throw new StandInMisuse(InsufficientBuffer, $"{size} bytes for {code}, which has {needed}");
        new Span<byte>(&value, (int)needed).CopyTo(new Span<byte>(buffer, (int)needed));
        if (written != null)
            *written = needed;
        return WhvResult.Ok;
    });

    [UnmanagedCallersOnly]
    private static int CreatePartition(nint* handle) => Guard("WHvCreatePartition", () =>
    {
        *handle = GCHandle.ToIntPtr(GCHandle.Alloc(new StandInPartition(StandInHost.Current)));
        return WhvResult.Ok;
    });

    [UnmanagedCallersOnly]
    private static int SetupPartition(nint handle) => Guard("WHvSetupPartition", () => Partition(handle).Setup());

    [UnmanagedCallersOnly]
    private static int DeletePartition(nint handle) => Guard("WHvDeletePartition", () =>
    {
        Partition(handle).Dispose();
        GCHandle.FromIntPtr(handle).Free();
        return WhvResult.Ok;
    });

    [UnmanagedCallersOnly]
    private static int SetPartitionProperty(nint handle, WhvPartitionPropertyCode code, void* buffer, uint size) =>
        Guard("WHvSetPartitionProperty", () => Partition(handle).SetProperty(code, new ReadOnlySpan<byte>(buffer, (int)size)));

    [UnmanagedCallersOnly]
    private static int MapGpaRange(nint handle, void* source, ulong address, ulong size, WhvMapGpaRangeFlag flags) =>
        Guard("WHvMapGpaRange", () => Partition(handle).Map((byte*)source, address, size, flags));

    [UnmanagedCallersOnly]
    private static int UnmapGpaRange(nint handle, ulong address, ulong size) => Guard("WHvUnmapGpaRange", () => Partition(handle).Unmap(address, size));

    [UnmanagedCallersOnly]
    private static int QueryGpaRangeDirtyBitmap(nint handle, ulong address, ulong size, ulong* bitmap, uint bitmapSize) => Guard("WHvQueryGpaRangeDirtyBitmap", () =>
    {
        if (((address | size) & 0xFFF) != 0 || size == 0 || ((nint)bitmap & 7) != 0 || bitmap == null || bitmapSize < ((size >> 12) + 63) / 64 * 8)
            throw new StandInMisuse(InvalidArgument, $"{address:X}h+{size:X}h into {bitmapSize} bytes at {(nint)bitmap:X}h");
        return Partition(handle).QueryDirty(address, size, new Span<ulong>(bitmap, (int)(bitmapSize / 8)));
    });

    [UnmanagedCallersOnly]
    private static int CreateVirtualProcessor(nint handle, uint index, uint flags) => Guard("WHvCreateVirtualProcessor", () => Partition(handle).CreateProcessor(index, flags));

    [UnmanagedCallersOnly]
    private static int DeleteVirtualProcessor(nint handle, uint index) => Guard("WHvDeleteVirtualProcessor", () => Partition(handle).DeleteProcessor(index));

    [UnmanagedCallersOnly]
    private static int RunVirtualProcessor(nint handle, uint index, void* context, uint size) => Guard("WHvRunVirtualProcessor", () =>
    {
        if (size != 224 || ((nint)context & 7) != 0)
            throw new StandInMisuse(InvalidArgument, $"an exit context of {size} bytes at {(nint)context:X}h");
        return Partition(handle).Processor(index).Run((WhvRunVpExitContext*)context);
    });

    [UnmanagedCallersOnly]
    private static int CancelRunVirtualProcessor(nint handle, uint index, uint flags) => Guard("WHvCancelRunVirtualProcessor", () =>
    {
        if (flags != 0)
            throw new StandInMisuse(InvalidArgument, "flags must be 0");
        Partition(handle).Processor(index).Cancel();
        return WhvResult.Ok;
    });

    [UnmanagedCallersOnly]
    private static int GetVirtualProcessorRegisters(nint handle, uint index, WhvRegister* names, uint count, WhvRegisterValue* values) =>
        Guard("WHvGetVirtualProcessorRegisters", () =>
        {
            CheckRegisters(names, count, values);
            return Partition(handle).Processor(index).Get(new ReadOnlySpan<WhvRegister>(names, (int)count), new Span<WhvRegisterValue>(values, (int)count));
        });

    [UnmanagedCallersOnly]
    private static int SetVirtualProcessorRegisters(nint handle, uint index, WhvRegister* names, uint count, WhvRegisterValue* values) =>
        Guard("WHvSetVirtualProcessorRegisters", () =>
        {
            CheckRegisters(names, count, values);
            return Partition(handle).Processor(index).Set(new ReadOnlySpan<WhvRegister>(names, (int)count), new ReadOnlySpan<WhvRegisterValue>(values, (int)count));
        });

    [UnmanagedCallersOnly]
    private static int RequestInterrupt(nint handle, WhvInterruptControl* interrupt, uint size) => Guard("WHvRequestInterrupt", () =>
    {
        if (size != 16 || interrupt == null)
            throw new StandInMisuse(InvalidArgument, $"an interrupt of {size} bytes");
        return Partition(handle).RequestInterrupt(*interrupt);
    });

    [UnmanagedCallersOnly]
    private static int GetVirtualProcessorInterruptControllerState(nint handle, uint index, void* state, uint size, uint* written) =>
        Guard("WHvGetVirtualProcessorInterruptControllerState2", () =>
        {
            byte[] page = Partition(handle).Processor(index).ApicState();
            if (size < page.Length)
                throw new StandInMisuse(InsufficientBuffer, $"{size} bytes");
            page.CopyTo(new Span<byte>(state, page.Length));
            if (written != null)
                *written = (uint)page.Length;
            return WhvResult.Ok;
        });

    [UnmanagedCallersOnly]
    private static int SetVirtualProcessorInterruptControllerState(nint handle, uint index, void* state, uint size) =>
        Guard("WHvSetVirtualProcessorInterruptControllerState2", () => Partition(handle).Processor(index).SetApicState(new ReadOnlySpan<byte>(state, (int)size)));

    private static void CheckRegisters(WhvRegister* names, uint count, WhvRegisterValue* values)
    {
        if (count is 0 or > 256 || names == null || values == null)
            throw new StandInMisuse(InvalidArgument, $"{count} registers");
        if (((nint)values & 15) != 0)
            throw new StandInMisuse(InvalidArgument, $"WHV_REGISTER_VALUE is aligned to 16 bytes, the array lies at {(nint)values:X}h");
    }

    private static StandInPartition Partition(nint handle)
    {
        if (handle == 0)
            throw new StandInMisuse(InvalidArgument, "no partition handle");
        return (StandInPartition)GCHandle.FromIntPtr(handle).Target!;
    }

    private static int Guard(string function, Func<int> body)
    {
        try
        {
            return body();
        }
        catch (StandInMisuse misuse)
        {
            StandInHost.Complain($"{function}: {misuse.Message}");
            return misuse.Result;
        }
        catch (Exception error)
        {
            StandInHost.Complain($"{function}: {error}");
            return Fail;
        }
    }

    /// <summary>A call that the real platform would refuse.</summary>
    internal sealed class StandInMisuse(int result, string message) : Exception(message)
    {
        public StandInMisuse(string message)
            : this(InvalidState, message)
        {
        }

        public int Result => result;
    }
}
