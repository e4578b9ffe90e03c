using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Kvm.Native;

namespace Farm.Machine.Hypervisors.Kvm;

/// <summary>The guest's CPUID: the model's leaves, features cut to what KVM supports here.</summary>
internal static unsafe class KvmCpuid
{
    private const int MostEntries = 256;
    private const uint SignificantIndex = 1;
    private const uint UmipBit = 1 << 2;

    public static Dictionary<(uint Function, uint Index), KvmCpuidEntry2> Supported(KvmFile system)
    {
        var table = new Table();
        system.Call(KvmIoctl.GetSupportedCpuid, table.Pointer, "KVM_GET_SUPPORTED_CPUID");
        var leaves = new Dictionary<(uint, uint), KvmCpuidEntry2>();
        for (int i = 0; i < table.Count; i++)
            leaves[(table.Entries[i].Function, table.Entries[i].Index)] = table.Entries[i];
        table.Free();
        return leaves;
    }

    public static bool HasUmip(Dictionary<(uint Function, uint Index), KvmCpuidEntry2> supported) =>
        supported.TryGetValue((7, 0), out var leaf) && (leaf.Ecx & UmipBit) != 0;

    /// <param name="apicId">The processor's.</param>
    /// <param name="umip">Lets CR4.UMIP be set, which the monitor does; the model's highest leaf stays below it.</param>
    public static void Set(KvmFile vcpu, CpuModel model, byte apicId, int addressBits, Dictionary<(uint Function, uint Index), KvmCpuidEntry2> supported, bool umip)
    {
        var table = new Table { Count = 0 };
        for (uint leaf = 0; leaf <= model.MaxLeaf; leaf++)
            Add(leaf);
        if (model.MaxExtendedLeaf != 0)
        {
            for (uint leaf = 0x80000000; leaf <= model.MaxExtendedLeaf; leaf++)
                Add(leaf);
        }
        if (umip && model.MaxLeaf < 7)
            table.Entries[table.Count++] = new KvmCpuidEntry2 { Function = 7, Flags = SignificantIndex, Ecx = UmipBit };
        vcpu.Call(KvmIoctl.SetCpuid2, table.Pointer, "KVM_SET_CPUID2");
        table.Free();

        void Add(uint leaf)
        {
            var (a, b, c, d) = model.Leaf(leaf, addressBits);
            if (leaf is 1 or 0x80000001)
            {
                supported.TryGetValue((leaf, 0), out var known);
                c &= known.Ecx;
                d &= known.Edx;
            }
            if (leaf == 1 && model.Has(CpuFeatures.Apic))
                b |= (uint)apicId << 24;
            table.Entries[table.Count++] = new KvmCpuidEntry2 { Function = leaf, Eax = a, Ebx = b, Ecx = c, Edx = d };
        }
    }

    /// <summary>struct kvm_cpuid2 with room for <see cref="MostEntries"/>.</summary>
    private readonly struct Table
    {
        public Table()
        {
            Pointer = (uint*)System.Runtime.InteropServices.NativeMemory.AllocZeroed((nuint)(8 + (MostEntries * sizeof(KvmCpuidEntry2))));
            Pointer[0] = MostEntries;
        }

        public uint* Pointer { get; }

        public KvmCpuidEntry2* Entries => (KvmCpuidEntry2*)(Pointer + 2);

        public int Count
        {
            get => (int)Pointer[0];
            set => Pointer[0] = (uint)value;
        }

        public void Free() => System.Runtime.InteropServices.NativeMemory.Free(Pointer);
    }
}
