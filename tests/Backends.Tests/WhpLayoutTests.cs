using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Backends.Tests;

/// <summary>
/// Sizes, offsets, numbers and bit fields against the public header (winhvplatformdefs.h of mingw-w64), by a C compiler for Windows that
/// checks assertions made of our own layouts. Nothing of it needs to run.
/// </summary>
public sealed partial class WhpLayoutTests
{
    private const string Compiler = "x86_64-w64-mingw32-gcc";

    /// <summary>WhvVpExitContext is WHV_VP_EXIT_CONTEXT there.</summary>
    private static readonly Type[] Structures =
    [
        typeof(WhvX64SegmentRegister), typeof(WhvX64TableRegister), typeof(WhvX64FpControlStatusRegister), typeof(WhvX64XmmControlStatusRegister),
        typeof(WhvRegisterValue), typeof(WhvVpExitContext), typeof(WhvMemoryAccessContext), typeof(WhvX64IoPortAccessContext),
        typeof(WhvX64MsrAccessContext), typeof(WhvX64CpuidAccessContext), typeof(WhvVpExceptionContext), typeof(WhvX64UnsupportedFeatureContext),
        typeof(WhvX64ApicEoiContext), typeof(WhvX64ApicInitSipiContext), typeof(WhvX64ApicWriteContext), typeof(WhvInterruptControl),
        typeof(WhvRunVpExitContext),
    ];

    /// <summary>Fields that are bit fields there, of which no offset can be taken.</summary>
    private static readonly HashSet<string> BitFields = [nameof(WhvVpExitContext.InstructionLengthAndCr8), nameof(WhvInterruptControl.TypeAndModes)];

    /// <summary>Type, field and our mask of each bit field.</summary>
    private static readonly (string Type, string Field, ulong Mask)[] Bits =
    [
        ("WHV_CAPABILITY_FEATURES", "PartialUnmap", WhvBits.FeaturesPartialUnmap),
        ("WHV_CAPABILITY_FEATURES", "LocalApicEmulation", WhvBits.FeaturesLocalApicEmulation),
        ("WHV_CAPABILITY_FEATURES", "DirtyPageTracking", WhvBits.FeaturesDirtyPageTracking),
        ("WHV_EXTENDED_VM_EXITS", "X64CpuidExit", WhvBits.ExitsX64Cpuid),
        ("WHV_EXTENDED_VM_EXITS", "X64MsrExit", WhvBits.ExitsX64Msr),
        ("WHV_EXTENDED_VM_EXITS", "ExceptionExit", WhvBits.ExitsException),
        ("WHV_EXTENDED_VM_EXITS", "X64ApicSmiExitTrap", WhvBits.ExitsX64ApicSmi),
        ("WHV_EXTENDED_VM_EXITS", "X64ApicInitSipiExitTrap", WhvBits.ExitsX64ApicInitSipi),
        ("WHV_EXTENDED_VM_EXITS", "X64ApicWriteLint0ExitTrap", WhvBits.ExitsX64ApicWriteLint0),
        ("WHV_EXTENDED_VM_EXITS", "X64ApicWriteSvrExitTrap", WhvBits.ExitsX64ApicWriteSvr),
        ("WHV_X64_MSR_EXIT_BITMAP", "UnhandledMsrs", WhvBits.MsrsUnhandled),
        ("WHV_X64_MSR_EXIT_BITMAP", "ApicBaseMsrWrite", WhvBits.MsrsApicBaseWrite),
        ("WHV_PROCESSOR_FEATURES", "Sse3Support", WhvBits.ProcessorSse3),
        ("WHV_PROCESSOR_FEATURES", "LahfSahfSupport", WhvBits.ProcessorLahfSahf),
        ("WHV_PROCESSOR_FEATURES", "PopCntSupport", WhvBits.ProcessorPopCnt),
        ("WHV_PROCESSOR_FEATURES", "Cmpxchg16bSupport", WhvBits.ProcessorCmpxchg16b),
        ("WHV_PROCESSOR_FEATURES", "RdtscpSupport", WhvBits.ProcessorRdtscp),
        ("WHV_PROCESSOR_FEATURES", "UmipSupport", WhvBits.ProcessorUmip),
        ("WHV_X64_VP_EXECUTION_STATE", "Cpl", WhvBits.StateCpl),
        ("WHV_X64_VP_EXECUTION_STATE", "Cr0Pe", WhvBits.StateCr0Pe),
        ("WHV_X64_VP_EXECUTION_STATE", "EferLma", WhvBits.StateEferLma),
        ("WHV_X64_VP_EXECUTION_STATE", "DebugActive", WhvBits.StateDebugActive),
        ("WHV_X64_VP_EXECUTION_STATE", "InterruptionPending", WhvBits.StateInterruptionPending),
        ("WHV_X64_VP_EXECUTION_STATE", "InterruptShadow", WhvBits.StateInterruptShadow),
        ("WHV_MEMORY_ACCESS_INFO", "AccessType", WhvBits.MemoryAccessType),
        ("WHV_MEMORY_ACCESS_INFO", "GpaUnmapped", WhvBits.MemoryGpaUnmapped),
        ("WHV_MEMORY_ACCESS_INFO", "GvaValid", WhvBits.MemoryGvaValid),
        ("WHV_X64_IO_PORT_ACCESS_INFO", "IsWrite", WhvBits.PortIsWrite),
        ("WHV_X64_IO_PORT_ACCESS_INFO", "AccessSize", WhvBits.PortAccessSize),
        ("WHV_X64_IO_PORT_ACCESS_INFO", "StringOp", WhvBits.PortStringOp),
        ("WHV_X64_IO_PORT_ACCESS_INFO", "RepPrefix", WhvBits.PortRepPrefix),
        ("WHV_X64_MSR_ACCESS_INFO", "IsWrite", WhvBits.MsrIsWrite),
        ("WHV_VP_EXCEPTION_INFO", "ErrorCodeValid", WhvBits.ExceptionErrorCodeValid),
        ("WHV_VP_EXCEPTION_INFO", "SoftwareException", WhvBits.ExceptionSoftware),
        ("WHV_X64_INTERRUPT_STATE_REGISTER", "InterruptShadow", WhvBits.InterruptStateShadow),
        ("WHV_X64_INTERRUPT_STATE_REGISTER", "NmiMasked", WhvBits.InterruptStateNmiMasked),
        ("WHV_X64_PENDING_INTERRUPTION_REGISTER", "InterruptionPending", WhvBits.PendingInterruption),
        ("WHV_X64_PENDING_INTERRUPTION_REGISTER", "InterruptionType", WhvBits.PendingInterruptionType),
        ("WHV_X64_PENDING_INTERRUPTION_REGISTER", "DeliverErrorCode", WhvBits.PendingDeliverErrorCode),
        ("WHV_X64_PENDING_INTERRUPTION_REGISTER", "InterruptionVector", WhvBits.PendingInterruptionVector),
        ("WHV_X64_PENDING_INTERRUPTION_REGISTER", "ErrorCode", WhvBits.PendingErrorCode),
        ("WHV_X64_DELIVERABILITY_NOTIFICATIONS_REGISTER", "NmiNotification", WhvBits.NotifyNmi),
        ("WHV_X64_DELIVERABILITY_NOTIFICATIONS_REGISTER", "InterruptNotification", WhvBits.NotifyInterrupt),
        ("WHV_X64_PENDING_EXT_INT_EVENT", "EventPending", WhvBits.PendingEvent),
        ("WHV_X64_PENDING_EXT_INT_EVENT", "EventType", WhvBits.PendingEventType),
        ("WHV_X64_PENDING_EXT_INT_EVENT", "Vector", WhvBits.PendingExtIntVector),
        ("WHV_INTERNAL_ACTIVITY_REGISTER", "StartupSuspend", WhvBits.StartupSuspend),
        ("WHV_INTERNAL_ACTIVITY_REGISTER", "HaltSuspend", WhvBits.HaltSuspend),
        ("WHV_INTERRUPT_CONTROL", "Type", WhvBits.InterruptType),
        ("WHV_INTERRUPT_CONTROL", "DestinationMode", WhvBits.InterruptDestinationMode),
        ("WHV_INTERRUPT_CONTROL", "TriggerMode", WhvBits.InterruptTriggerMode),
    ];

    /// <summary>Enumerations and the prefixes of their members in the header.</summary>
    private static readonly (Type Type, string[] Prefixes)[] Enumerations =
    [
        (typeof(WhvCapabilityCode), ["WHvCapabilityCode"]),
        (typeof(WhvPartitionPropertyCode), ["WHvPartitionPropertyCode"]),
        (typeof(WhvMapGpaRangeFlag), ["WHvMapGpaRangeFlag"]),
        (typeof(WhvMemoryAccess), ["WHvMemoryAccess"]),
        (typeof(WhvRunVpExitReason), ["WHvRunVpExitReason"]),
        (typeof(WhvX64Pending), ["WHvX64Pending"]),
        (typeof(WhvX64PendingEvent), ["WHvX64PendingEvent"]),
        (typeof(WhvX64LocalApicEmulationMode), ["WHvX64LocalApicEmulationMode"]),
        (typeof(WhvX64InterruptType), ["WHvX64InterruptType"]),
        (typeof(WhvX64InterruptDestinationMode), ["WHvX64InterruptDestinationMode"]),
        (typeof(WhvX64InterruptTriggerMode), ["WHvX64InterruptTriggerMode"]),
        (typeof(WhvX64ApicWriteType), ["WHvX64ApicWriteType"]),
        (typeof(WhvRegister), ["WHvX64Register", "WHvRegister"]),
    ];

    private static readonly HashSet<WhvRegister> WithoutX64 =
        [WhvRegister.PendingInterruption, WhvRegister.InterruptState, WhvRegister.PendingEvent, WhvRegister.InternalActivityState];

    [Fact]
    public void Structures_lie_as_in_the_header()
    {
        var source = Header();
        int assertions = 0;
        foreach (var type in Structures)
        {
            string name = WordStart().Replace(type.Name, "_").ToUpperInvariant();
            Assert(source, $"sizeof({name}) == {Marshal.SizeOf(type)}");
            foreach (var field in type.GetFields(BindingFlags.Public | BindingFlags.Instance).Where(field => !BitFields.Contains(field.Name)))
            {
                Assert(source, $"offsetof({name}, {field.Name}) == {Marshal.OffsetOf(type, field.Name)}");
                assertions++;
            }
        }
        Xunit.Assert.True(assertions > 60);
        Compile(source.ToString());
    }

    [Fact]
    public void Numbers_are_those_of_the_header()
    {
        var source = Header();
        foreach (var (type, prefixes) in Enumerations)
        {
            foreach (var value in Enum.GetValues(type).Cast<Enum>().Distinct())
            {
                string prefix = value is WhvRegister register && WithoutX64.Contains(register) ? prefixes[^1] : prefixes[0];
                Assert(source, $"(unsigned){prefix}{value} == {(uint)Convert.ToInt32(value, CultureInfo.InvariantCulture)}u");
            }
        }
        Compile(source.ToString());
    }

    [Fact]
    public void Bit_fields_are_those_of_the_header()
    {
        // Constants whose bytes stand in the assembly: all ones in the one field.
        var source = Header();
        for (int i = 0; i < Bits.Length; i++)
            source.AppendLine(CultureInfo.InvariantCulture, $"const union {{ {Bits[i].Type} u; unsigned long long q; }} bits{i} = {{ .u = {{ .{Bits[i].Field} = ~0ull }} }};");
        string assembly = Compile(source.ToString(), "-S", "-Wno-overflow");
        for (int i = 0; i < Bits.Length; i++)
            Xunit.Assert.Equal((Bits[i].Type, Bits[i].Field, $"{Bits[i].Mask:X}"), (Bits[i].Type, Bits[i].Field, $"{Constant(assembly, $"bits{i}"):X}"));
    }

    [Fact]
    public void A_wrong_layout_is_noticed()
    {
        var source = Header();
        Assert(source, $"sizeof(WHV_RUN_VP_EXIT_CONTEXT) == {Marshal.SizeOf<WhvRunVpExitContext>() + 8}");
        Xunit.Assert.Contains("static assertion failed", Xunit.Assert.Throws<InvalidOperationException>(() => Compile(source.ToString())).Message, StringComparison.Ordinal);
    }

    private static StringBuilder Header() => new("#include <stddef.h>\n#include <windows.h>\n#include <winhvplatform.h>\n");

    private static void Assert(StringBuilder source, string condition) => source.AppendLine(CultureInfo.InvariantCulture, $"_Static_assert({condition}, \"{condition}\");");

    /// <summary>The value of a constant, from the directives behind its label, little-endian.</summary>
    private static ulong Constant(string assembly, string label)
    {
        ulong value = 0;
        int bits = 0;
        foreach (string line in assembly[assembly.IndexOf($"\n{label}:", StringComparison.Ordinal)..].Split('\n').Skip(2))
        {
            string[] words = line.Split(['\t', ' ', '\r'], StringSplitOptions.RemoveEmptyEntries);
            if (words.Length != 2)
                break;
            int size = words[0] switch { ".byte" => 8, ".word" => 16, ".long" => 32, ".quad" => 64, ".space" => 8 * int.Parse(words[1], CultureInfo.InvariantCulture), _ => 0 };
            if (size == 0)
                break;
            if (words[0] != ".space")
                value |= ((ulong)long.Parse(words[1], CultureInfo.InvariantCulture) & (ulong.MaxValue >> (64 - size))) << bits;
            bits += size;
        }
        return value;
    }

    /// <summary>What the compiler prints to its output file; its complaints are thrown. Without a compiler the test is skipped.</summary>
    private static string Compile(string source, params string[] options)
    {
        var start = new ProcessStartInfo(Compiler) { RedirectStandardInput = true, RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string option in (string[])["-x", "c", "-std=c11", "-O1", .. options.Length == 0 ? ["-fsyntax-only"] : options, "-o", "-", "-"])
            start.ArgumentList.Add(option);
        Process compiler;
        try
        {
            compiler = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Xunit.Assert.Skip($"There is no {Compiler}: install gcc-mingw-w64-x86-64-posix.");
            throw;
        }
        using (compiler)
        {
            var errors = compiler.StandardError.ReadToEndAsync();
            var output = compiler.StandardOutput.ReadToEndAsync();
            compiler.StandardInput.Write(source);
            compiler.StandardInput.Close();
            compiler.WaitForExit();
            return compiler.ExitCode == 0 ? output.Result : throw new InvalidOperationException(errors.Result);
        }
    }

    [GeneratedRegex("(?<=[a-z0-9])(?=[A-Z])")]
    private static partial Regex WordStart();
}
