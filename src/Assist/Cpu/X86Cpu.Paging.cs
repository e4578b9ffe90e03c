using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Farm.Assist.Cpu;

// Linear to physical: the walkers of SDM vol. 3, chapter 4 (32-bit with PSE, PAE, 4-level) and a software TLB in front of them.
public sealed unsafe partial class X86Cpu
{
    // Access rights asked for, as bits of the #PF error code.
    private const uint AccessWrite = 2, AccessUser = 4, AccessFetch = 16;
    private const uint FaultPresent = 1, FaultReserved = 8;

    private const ulong EntryPresent = 1, EntryWritable = 2, EntryUser = 4, EntryAccessed = 0x20, EntryDirty = 0x40, EntryLarge = 0x80, EntryGlobal = 0x100;
    private const ulong EntryNoExecute = 1ul << 63;
    private const ulong EntryAddress = 0x000FFFFFFFFFF000;

    private const int TlbSize = 1024;
    private const int StackPointer = 4;
    private const ulong PageMask = ~0xFFFul;

    /// <summary>A tag that no page has (not canonical, above 4 GiB).</summary>
    private const ulong NoTag = 0x8000000000000000;

    /// <summary>Set in a tag whose translation is good but whose page may not be touched directly (MMIO, code, watched).</summary>
    private const ulong TagIndirect = 1;

    [StructLayout(LayoutKind.Sequential)]
    private struct TlbEntry
    {
        /// <summary>Linear page for direct reads (or indirect ones, see <see cref="TagIndirect"/>).</summary>
        public ulong ReadTag;
        public ulong WriteTag;

        /// <summary>Host address minus linear address.</summary>
        public nint Addend;

        /// <summary>Physical page; bit 0 global.</summary>
        public ulong Page;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct CodeTlbEntry
    {
        public ulong Tag;

        /// <summary>Physical page; bit 0 global.</summary>
        public ulong Page;
    }

    /// <summary>Three TLBs: supervisor, user, and one never filled for when every access needs a closer look.</summary>
    private readonly TlbEntry* _tlbs = (TlbEntry*)NativeMemory.AlignedAlloc(3 * TlbSize * (nuint)sizeof(TlbEntry), 64);
    private readonly CodeTlbEntry* _codeTlbs = (CodeTlbEntry*)NativeMemory.AlignedAlloc(2 * CodeTlbSize * (nuint)sizeof(CodeTlbEntry), 64);
    private const int CodeTlbSize = 256;

    /// <summary>
    /// Slots of the TLB and of the code TLB that were filled since they were last empty, so that a flush visits only these: boot
    /// loaders switch modes by the million with a few pages in use. Beyond its size a list is no use and the flush visits all.
    /// </summary>
    private readonly SlotList _filled = new(), _codeFilled = new();

    /// <summary>The TLB of the fast paths.</summary>
    private TlbEntry* _tlb;

    /// <summary>Linear range that covers every large page cached since the last full flush.</summary>
    private ulong _largeLow = ulong.MaxValue, _largeHigh;

    private bool Paging => (State->Cr0 & ControlRegisters.Cr0PG) != 0;

    /// <summary>Forgets translations (MOV CR3, task switch); global pages stay when <paramref name="keepGlobal"/> and CR4.PGE.</summary>
    public void FlushTlb(bool keepGlobal = false)
    {
        keepGlobal &= (State->Cr4 & ControlRegisters.Cr4PGE) != 0;
        int kept = 0;
        foreach (ushort slot in _filled.Slots(2 * TlbSize))
        {
            TlbEntry* entry = _tlbs + slot;
            if (keepGlobal && (entry->Page & 1) != 0 && entry->ReadTag != NoTag)
                _filled.Keep(slot, kept++);
            else
                entry->ReadTag = entry->WriteTag = NoTag;
        }
        _filled.Trim(kept);
        kept = 0;
        foreach (ushort slot in _codeFilled.Slots(2 * CodeTlbSize))
        {
            CodeTlbEntry* entry = _codeTlbs + slot;
            if (keepGlobal && (entry->Page & 1) != 0 && entry->Tag != NoTag)
                _codeFilled.Keep(slot, kept++);
            else
                entry->Tag = NoTag;
        }
        _codeFilled.Trim(kept);
        if (!keepGlobal)
        {
            _largeLow = ulong.MaxValue;
            _largeHigh = 0;
        }
        ForgetJumps();
    }

    /// <summary>INVLPG: forgets the page of a linear address, global or not.</summary>
    public void InvalidatePage(ulong linear)
    {
        linear = WrapLinear(linear);
        if (linear >= _largeLow && linear <= _largeHigh)
        {
            FlushTlb();
            return;
        }
        for (int mode = 0; mode < 2; mode++)
        {
            TlbEntry* entry = _tlbs + (mode * TlbSize) + (int)((linear >> 12) & (TlbSize - 1));
            if ((entry->ReadTag & PageMask) == (linear & PageMask) || (entry->WriteTag & PageMask) == (linear & PageMask))
                entry->ReadTag = entry->WriteTag = NoTag;
            CodeTlbEntry* code = _codeTlbs + (mode * CodeTlbSize) + (int)((linear >> 12) & (CodeTlbSize - 1));
            if (code->Tag == (linear & PageMask))
                code->Tag = NoTag;
        }
        ForgetJumps();
    }

    /// <summary>
    /// Loads the PAE page-directory-pointer registers from <paramref name="cr3"/> where PAE paging without IA-32e mode is (about to be)
    /// in force. False, and nothing changed, when a reserved bit is set: the instruction raises #GP(0). SDM vol. 3, 4.4.1.
    /// </summary>
    public bool TryLoadPdptes(ulong cr3)
    {
        ulong* entries = stackalloc ulong[4];
        ulong table = cr3 & 0xFFFFFFE0;
        ulong reserved = 0x1E6 | (~EntryAddress & ~0xFFFul) | PhysicalReserved;
        for (int i = 0; i < 4; i++)
        {
            ulong entry = ReadPhysical<ulong>(table + ((ulong)i * 8));
            if ((entry & EntryPresent) != 0 && (entry & reserved) != 0)
                return false;
            entries[i] = entry;
        }
        for (int i = 0; i < 4; i++)
            State->Pdpte[i] = entries[i];
        return true;
    }

    /// <summary>Address bits of an entry beyond the physical address width.</summary>
    private ulong PhysicalReserved => EntryAddress & ~((1ul << Memory.AddressBits) - 1);

    /// <summary>Translates for an access other than a fetch; fills the TLB of the privilege asked for. Raises #PF.</summary>
    private ulong Translate(ulong linear, uint access)
    {
        ulong page = linear & PageMask;
        TlbEntry* entry = _tlbs + ((access & AccessUser) != 0 ? TlbSize : 0) + (int)((linear >> 12) & (TlbSize - 1));
        ulong tag = (access & AccessWrite) != 0 ? entry->WriteTag : entry->ReadTag;
        if ((tag & PageMask) == page)
        {
            // Code gone from the page, or its watch over: the next store goes straight.
            if (tag == (page | TagIndirect) && (access & AccessWrite) != 0 && IsPlain(Memory.KindAt(entry->Page & PageMask)))
                entry->WriteTag = page;
            return (entry->Page & PageMask) | (linear & ~PageMask);
        }
        Walked walked = Walk(linear, access);
        Fill(entry, page, walked);
        return walked.Page | (linear & ~PageMask);
    }

    private void Fill(TlbEntry* entry, ulong page, Walked walked)
    {
        PageKind kind = Memory.KindAt(walked.Page);
        if (entry->ReadTag == NoTag)
            _filled.Add((ushort)(entry - _tlbs));
        entry->Page = walked.Page | (walked.Global ? 1u : 0);
        bool readable = (kind & PageKind.Readable) != 0;
        entry->ReadTag = page | (readable ? 0 : TagIndirect);
        entry->WriteTag = NoTag;
        if (walked.StoreReady)
        {
            entry->WriteTag = page | (IsPlain(kind) ? 0 : TagIndirect);
        }
        if (readable)
            entry->Addend = (nint)Memory.HostAt(walked.Page) - (nint)page;
    }

    /// <summary>Stores need nobody's notice.</summary>
    private static bool IsPlain(PageKind kind) => (kind & ~PageKind.Logged) == (PageKind.Readable | PageKind.Writable);

    /// <summary>A translation: 4 KiB physical page (after A20) and what the entry allows.</summary>
    /// <param name="Page">Physical page.</param>
    /// <param name="StoreReady">Stores are allowed and the dirty bit is set already.</param>
    /// <param name="Global">Survives MOV CR3.</param>
    private readonly record struct Walked(ulong Page, bool StoreReady, bool Global);

    private Walked Walk(ulong linear, uint access)
    {
        if (!Paging)
            return new Walked(linear & Memory.AddressMask & PageMask, true, false);
        if (LongModeActive)
        {
            if (!IsCanonical(linear))
                throw Fault(Vectors.GP, 0);
            return WalkWide(linear, access, State->Cr3 & EntryAddress, level: 4, EntryWritable | EntryUser);
        }
        if ((State->Cr4 & ControlRegisters.Cr4PAE) == 0)
            return WalkNarrow(linear, access);
        ulong pointer = State->Pdpte[(int)(linear >> 30) & 3];
        if ((pointer & EntryPresent) == 0)
            throw PageFault(linear, access, 0);
        return WalkWide(linear, access, pointer & EntryAddress, level: 2, EntryWritable | EntryUser);
    }

    /// <summary>32-bit paging: 4 KiB and, with CR4.PSE, 4 MiB pages.</summary>
    private Walked WalkNarrow(ulong linear, uint access)
    {
        ulong directoryAt = (State->Cr3 & 0xFFFFF000) | ((linear >> 22) << 2);
        uint directory = ReadPhysical<uint>(directoryAt);
        if ((directory & EntryPresent) == 0)
            throw PageFault(linear, access, 0);
        if ((directory & EntryLarge) != 0 && (State->Cr4 & ControlRegisters.Cr4PSE) != 0)
        {
            // PSE-36 (SDM vol. 3, table 4-4): bits 13-20 are physical bits 32-39, as far as the width goes; bit 21 is reserved.
            ulong high = Model.Has(CpuFeatures.Pse36) ? (ulong)(directory >> 13 & 0xFF) << 32 : 0;
            ulong reserved = Model.Has(CpuFeatures.Pse36) ? directory & 0x200000u : directory & 0x3FE000u;
            if (reserved != 0 || (high >> Memory.AddressBits) != 0)
                throw PageFault(linear, access, FaultPresent | FaultReserved);
            ulong frame = high | (directory & 0xFFC00000) | (linear & 0x3FF000);
            return Finish<uint>(linear, access, directory, directory, directoryAt, frame, large: 0x3FFFFF);
        }
        ulong tableAt = (directory & 0xFFFFF000) | (((linear >> 12) & 0x3FF) << 2);
        uint table = ReadPhysical<uint>(tableAt);
        if ((table & EntryPresent) == 0)
            throw PageFault(linear, access, 0);
        Walked walked = Finish<uint>(linear, access, table, directory & table, tableAt, table & 0xFFFFF000, large: 0);
        MarkAccessed<uint>(directoryAt, directory);
        return walked;
    }

    /// <summary>Tables of 64-bit entries: PAE from level 2, IA-32e from level 4. Accessed bits are set on the way back.</summary>
    private Walked WalkWide(ulong linear, uint access, ulong table, int level, ulong rights)
    {
        ulong entryAt = table | (((linear >> (12 + ((level - 1) * 9))) & 0x1FF) << 3);
        ulong entry = ReadPhysical<ulong>(entryAt);
        if ((entry & EntryPresent) == 0)
            throw PageFault(linear, access, 0);

        bool large = level == 2 && (entry & EntryLarge) != 0;
        ulong reserved = PhysicalReserved;
        if ((State->Efer & ControlRegisters.EferNXE) == 0)
            reserved |= EntryNoExecute;
        if (!LongModeActive)
            reserved |= 0x7FF0000000000000;
        if (level >= 3)
            reserved |= EntryLarge;
        if (large)
            reserved |= 0x1FE000;
        if ((entry & reserved) != 0)
            throw PageFault(linear, access, FaultPresent | FaultReserved);

        // Writable and user hold if every level grants them, no-execute if any level asks for it.
        ulong combined = (rights & entry & (EntryWritable | EntryUser)) | ((rights | entry) & EntryNoExecute);
        if (level == 1 || large)
        {
            ulong frame = large ? (entry & EntryAddress & ~0x1FFFFFul) | (linear & 0x1FF000) : entry & EntryAddress;
            return Finish<ulong>(linear, access, entry, combined, entryAt, frame, large ? 0x1FFFFFul : 0);
        }
        Walked walked = WalkWide(linear, access, entry & EntryAddress, level - 1, combined);
        MarkAccessed<ulong>(entryAt, entry);
        return walked;
    }

    /// <summary>Rights, then accessed and dirty bits of the entry that maps the page.</summary>
    private Walked Finish<T>(ulong linear, uint access, ulong entry, ulong rights, ulong entryAt, ulong frame, ulong large) where T : unmanaged
    {
        bool supervisor = (access & AccessUser) == 0;
        bool writable = (rights & EntryWritable) != 0 || (supervisor && (State->Cr0 & ControlRegisters.Cr0WP) == 0);
        bool allowed = (supervisor || (rights & EntryUser) != 0)
            && ((access & AccessWrite) == 0 || writable)
            && ((access & AccessFetch) == 0 || (rights & EntryNoExecute) == 0);
        if (!allowed)
            throw PageFault(linear, access, FaultPresent);

        ulong marked = entry | EntryAccessed | ((access & AccessWrite) != 0 ? EntryDirty : 0);
        if (marked != entry)
            StoreEntry<T>(entryAt, marked);
        if (large != 0)
        {
            _largeLow = Math.Min(_largeLow, linear & ~large);
            _largeHigh = Math.Max(_largeHigh, linear | large);
        }
        bool global = (entry & EntryGlobal) != 0 && (State->Cr4 & ControlRegisters.Cr4PGE) != 0;
        return new Walked(frame & Memory.AddressMask & PageMask, writable && (marked & EntryDirty) != 0, global);
    }

    private void MarkAccessed<T>(ulong entryAt, ulong entry) where T : unmanaged
    {
        if ((entry & EntryAccessed) == 0)
            StoreEntry<T>(entryAt, entry | EntryAccessed);
    }

    private void StoreEntry<T>(ulong entryAt, ulong entry) where T : unmanaged => WritePhysical((byte*)&entry, sizeof(T), entryAt);

    private T ReadPhysical<T>(ulong address) where T : unmanaged
    {
        T value;
        ReadPhysical((byte*)&value, sizeof(T), address);
        return value;
    }

    /// <summary>#PF with CR2. The I/D bit shows only where no-execute can be (SDM vol. 3, 4.7).</summary>
    private GuestFault PageFault(ulong linear, uint access, uint cause)
    {
        State->Cr2 = linear;
        bool noExecute = (State->Cr4 & ControlRegisters.Cr4PAE) != 0 && (State->Efer & ControlRegisters.EferNXE) != 0;
        if (!noExecute)
            access &= ~AccessFetch;
        return Fault(Vectors.PF, access | cause);
    }
}
