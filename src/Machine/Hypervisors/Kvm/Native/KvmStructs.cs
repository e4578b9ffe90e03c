using System.Runtime.InteropServices;

namespace Farm.Machine.Hypervisors.Kvm.Native;

// Layouts of linux/kvm.h and asm/kvm.h on x86-64, named as there.

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmRegs
{
    public ulong Rax, Rbx, Rcx, Rdx, Rsi, Rdi, Rsp, Rbp;
    public fixed ulong R8To15[8];
    public ulong Rip, Rflags;
}

[StructLayout(LayoutKind.Sequential)]
internal struct KvmSegment
{
    public ulong Base;
    public uint Limit;
    public ushort Selector;
    public byte Type, Present, Dpl, Db, S, L, G, Avl, Unusable, Padding;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmDtable
{
    public ulong Base;
    public ushort Limit;
    public fixed ushort Padding[3];
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmSregs
{
    public KvmSegment Cs, Ds, Es, Fs, Gs, Ss, Tr, Ldt;
    public KvmDtable Gdt, Idt;
    public ulong Cr0, Cr2, Cr3, Cr4, Cr8, Efer, ApicBase;
    public fixed ulong InterruptBitmap[4];
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmVcpuEvents
{
    public byte ExceptionInjected, ExceptionNr, ExceptionHasErrorCode, ExceptionPending;
    public uint ExceptionErrorCode;
    public byte InterruptInjected, InterruptNr, InterruptSoft, InterruptShadow;
    public byte NmiInjected, NmiPending, NmiMasked, NmiPad;
    public uint SipiVector, Flags;
    public byte SmiSmm, SmiPending, SmiSmmInsideNmi, SmiLatchedInit;
    public byte TripleFaultPending;
    public fixed byte Reserved[26];
    public byte ExceptionHasPayload;
    public ulong ExceptionPayload;
}

[StructLayout(LayoutKind.Sequential)]
internal struct KvmSyncRegs
{
    public KvmRegs Regs;
    public KvmSregs Sregs;
    public KvmVcpuEvents Events;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmFpu
{
    /// <summary>ST(0) to ST(7), 16 bytes each.</summary>
    public fixed ulong Fpr[16];
    public ushort Fcw, Fsw;

    /// <summary>One bit per physical register: not empty.</summary>
    public byte Ftwx, Pad1;
    public ushort LastOpcode;
    public ulong LastIp, LastDp;
    public fixed ulong Xmm[32];
    public uint Mxcsr, Pad2;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmDebugRegs
{
    public fixed ulong Db[4];
    public ulong Dr6, Dr7, Flags;
    public fixed ulong Reserved[9];
}

[StructLayout(LayoutKind.Sequential)]
internal struct KvmMsrEntry
{
    public uint Index, Reserved;
    public ulong Data;
}

[StructLayout(LayoutKind.Sequential)]
internal struct KvmDeviceAttr
{
    public uint Flags, Group;
    public ulong Attr, Addr;
}

[StructLayout(LayoutKind.Sequential)]
internal struct KvmUserspaceMemoryRegion
{
    public uint Slot, Flags;
    public ulong GuestPhysAddr, MemorySize, UserspaceAddr;
}

[StructLayout(LayoutKind.Sequential)]
internal struct KvmDirtyLog
{
    public uint Slot, Padding;
    public ulong Bitmap;
}

[StructLayout(LayoutKind.Sequential)]
internal struct KvmCoalescedMmioZone
{
    public ulong Addr;
    public uint Size, Pio;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmCoalescedMmio
{
    public ulong PhysAddr;
    public uint Len, Pio;
    public fixed byte Data[8];
}

/// <summary>Its entries follow, to the end of the page.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KvmCoalescedMmioRing
{
    public uint First, Last;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmCpuidEntry2
{
    public uint Function, Index, Flags, Eax, Ebx, Ecx, Edx;
    public fixed uint Padding[3];
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmMsi
{
    public uint AddressLow, AddressHigh, Data, Flags, DeviceId;
    public fixed byte Pad[12];
}

/// <summary>struct kvm_irq_routing_entry as one of type MSI has it.</summary>
[StructLayout(LayoutKind.Sequential, Size = 48)]
internal struct KvmIrqRoutingEntry
{
    public uint Gsi, Type, Flags, Pad;
    public uint AddressLow, AddressHigh, Data;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KvmEnableCap
{
    public uint Cap, Flags;
    public fixed ulong Args[4];
    public fixed byte Pad[64];
}

/// <summary>struct kvm_run: the page shared with the kernel. The exit's own data overlay each other from offset 32.</summary>
[StructLayout(LayoutKind.Explicit, Size = 2352)]
internal unsafe struct KvmRun
{
    [FieldOffset(0)] public byte RequestInterruptWindow;
    [FieldOffset(1)] public byte ImmediateExit;

    /// <summary>The first four bytes, for atomic changes of <see cref="ImmediateExit"/>.</summary>
    [FieldOffset(0)] public int Head;
    [FieldOffset(8)] public KvmExit ExitReason;
    [FieldOffset(12)] public byte ReadyForInterruptInjection;
    [FieldOffset(13)] public byte IfFlag;
    [FieldOffset(16)] public ulong Cr8;
    [FieldOffset(24)] public ulong ApicBase;

    [FieldOffset(32)] public ulong HardwareReason;

    [FieldOffset(32)] public byte IoDirection;
    [FieldOffset(33)] public byte IoSize;
    [FieldOffset(34)] public ushort IoPort;
    [FieldOffset(36)] public uint IoCount;
    [FieldOffset(40)] public ulong IoDataOffset;

    [FieldOffset(32)] public ulong MmioAddress;
    [FieldOffset(40)] public fixed byte MmioData[8];
    [FieldOffset(48)] public uint MmioLength;
    [FieldOffset(52)] public byte MmioIsWrite;

    [FieldOffset(32)] public uint SubError;
    [FieldOffset(36)] public uint DataCount;
    [FieldOffset(40)] public ulong EmulationFlags;
    [FieldOffset(48)] public byte InstructionSize;
    [FieldOffset(49)] public fixed byte InstructionBytes[15];

    [FieldOffset(32)] public byte EoiVector;

    [FieldOffset(288)] public ulong ValidRegs;
    [FieldOffset(296)] public ulong DirtyRegs;
    [FieldOffset(304)] public KvmSyncRegs Sync;
}
