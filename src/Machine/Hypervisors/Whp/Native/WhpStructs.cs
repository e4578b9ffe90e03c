using System.Runtime.InteropServices;

namespace Farm.Machine.Hypervisors.Whp.Native;

// Layouts of WinHvPlatformDefs.h on x64: WhvX64SegmentRegister is WHV_X64_SEGMENT_REGISTER; fields are named as there. Bit fields are one
// integer; their bits are in WhvBits.

[StructLayout(LayoutKind.Sequential)]
internal struct WhvX64SegmentRegister
{
    public ulong Base;
    public uint Limit;
    public ushort Selector;
    public ushort Attributes;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct WhvX64TableRegister
{
    public fixed ushort Pad[3];
    public ushort Limit;
    public ulong Base;
}

[StructLayout(LayoutKind.Sequential)]
internal struct WhvX64FpControlStatusRegister
{
    public ushort FpControl;
    public ushort FpStatus;
    public byte FpTag;
    public byte Reserved;
    public ushort LastFpOp;
    public ulong LastFpRip;
}

[StructLayout(LayoutKind.Sequential)]
internal struct WhvX64XmmControlStatusRegister
{
    public ulong LastFpRdp;
    public uint XmmStatusControl;
    public uint XmmStatusControlMask;
}

/// <summary>A register's value; the API wants arrays of it aligned to 16 bytes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct WhvRegisterValue
{
    [FieldOffset(0)]
    public UInt128 Reg128;

    [FieldOffset(0)]
    public ulong Reg64;

    [FieldOffset(0)]
    public WhvX64SegmentRegister Segment;

    [FieldOffset(0)]
    public WhvX64TableRegister Table;

    [FieldOffset(0)]
    public WhvX64FpControlStatusRegister FpControlStatus;

    [FieldOffset(0)]
    public WhvX64XmmControlStatusRegister XmmControlStatus;
}

[StructLayout(LayoutKind.Sequential)]
internal struct WhvVpExitContext
{
    public ushort ExecutionState;

    /// <summary>InstructionLength, and Cr8 above it.</summary>
    public byte InstructionLengthAndCr8;
    public byte Reserved;
    public uint Reserved2;
    public WhvX64SegmentRegister Cs;
    public ulong Rip;
    public ulong Rflags;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct WhvMemoryAccessContext
{
    public byte InstructionByteCount;
    public fixed byte Reserved[3];
    public fixed byte InstructionBytes[16];
    public uint AccessInfo;
    public ulong Gpa;
    public ulong Gva;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct WhvX64IoPortAccessContext
{
    public byte InstructionByteCount;
    public fixed byte Reserved[3];
    public fixed byte InstructionBytes[16];
    public uint AccessInfo;
    public ushort PortNumber;
    public fixed ushort Reserved2[3];
    public ulong Rax;
    public ulong Rcx;
    public ulong Rsi;
    public ulong Rdi;
    public WhvX64SegmentRegister Ds;
    public WhvX64SegmentRegister Es;
}

[StructLayout(LayoutKind.Sequential)]
internal struct WhvX64MsrAccessContext
{
    public uint AccessInfo;
    public uint MsrNumber;
    public ulong Rax;
    public ulong Rdx;
}

[StructLayout(LayoutKind.Sequential)]
internal struct WhvX64CpuidAccessContext
{
    public ulong Rax;
    public ulong Rcx;
    public ulong Rdx;
    public ulong Rbx;
    public ulong DefaultResultRax;
    public ulong DefaultResultRcx;
    public ulong DefaultResultRdx;
    public ulong DefaultResultRbx;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct WhvVpExceptionContext
{
    public byte InstructionByteCount;
    public fixed byte Reserved[3];
    public fixed byte InstructionBytes[16];
    public uint ExceptionInfo;
    public byte ExceptionType;
    public fixed byte Reserved2[3];
    public uint ErrorCode;
    public ulong ExceptionParameter;
}

[StructLayout(LayoutKind.Sequential)]
internal struct WhvX64UnsupportedFeatureContext
{
    public uint FeatureCode;
    public uint Reserved;
    public ulong FeatureParameter;
}

[StructLayout(LayoutKind.Sequential)]
internal struct WhvX64ApicEoiContext
{
    public uint InterruptVector;
}

/// <summary>WHV_X64_APIC_SMI_CONTEXT is the same.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct WhvX64ApicInitSipiContext
{
    public ulong ApicIcr;
}

[StructLayout(LayoutKind.Sequential)]
internal struct WhvX64ApicWriteContext
{
    public WhvX64ApicWriteType Type;
    public uint Reserved;
    public ulong WriteValue;
}

/// <summary>What WHvRequestInterrupt takes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct WhvInterruptControl
{
    /// <summary>Type, DestinationMode and TriggerMode.</summary>
    public ulong TypeAndModes;
    public uint Destination;
    public uint Vector;

    public WhvInterruptControl(WhvX64InterruptType type, uint destination, byte vector = 0, bool logical = false, bool level = false)
    {
        TypeAndModes = (ulong)type | (logical ? (ulong)WhvX64InterruptDestinationMode.Logical << 8 : 0) | (level ? (ulong)WhvX64InterruptTriggerMode.Level << 12 : 0);
        Destination = destination;
        Vector = vector;
    }
}

[StructLayout(LayoutKind.Explicit, Size = 224)]
internal struct WhvRunVpExitContext
{
    [FieldOffset(0)]
    public WhvRunVpExitReason ExitReason;

    [FieldOffset(4)]
    public uint Reserved;

    [FieldOffset(8)]
    public WhvVpExitContext VpContext;

    [FieldOffset(48)]
    public WhvMemoryAccessContext MemoryAccess;

    [FieldOffset(48)]
    public WhvX64IoPortAccessContext IoPortAccess;

    [FieldOffset(48)]
    public WhvX64MsrAccessContext MsrAccess;

    [FieldOffset(48)]
    public WhvX64CpuidAccessContext CpuidAccess;

    [FieldOffset(48)]
    public WhvVpExceptionContext VpException;

    [FieldOffset(48)]
    public WhvX64UnsupportedFeatureContext UnsupportedFeature;

    [FieldOffset(48)]
    public WhvX64ApicEoiContext ApicEoi;

    [FieldOffset(48)]
    public WhvX64ApicInitSipiContext ApicInitSipi;

    [FieldOffset(48)]
    public WhvX64ApicWriteContext ApicWrite;

    /// <summary>DeliverableType of WHV_X64_INTERRUPTION_DELIVERABLE_CONTEXT.</summary>
    [FieldOffset(48)]
    public WhvX64Pending InterruptWindow;
}
