using System.Buffers.Binary;
using System.Text;

namespace Farm.Assist.Cpu;

// CPUID.
public sealed partial record CpuModel
{
    /// <summary>One leaf; those beyond the highest basic one answer as the highest basic one does (SDM vol. 2, CPUID).</summary>
    /// <param name="addressBits">Width of physical addresses, for leaf 80000008h.</param>
    public (uint A, uint B, uint C, uint D) Leaf(uint leaf, int addressBits)
    {
        bool extended = leaf >= 0x80000000 && leaf <= MaxExtendedLeaf;
        if (!extended && leaf > MaxLeaf)
            leaf = MaxLeaf;
        switch (leaf)
        {
            case 0:
                {
                    byte[] vendor = Encoding.ASCII.GetBytes(Vendor);
                    return (MaxLeaf, Word(vendor, 0), Word(vendor, 8), Word(vendor, 4));
                }
            case 1:
                return (Signature, Has(CpuFeatures.Clfsh) ? 8u << 8 : 0, (uint)Features2, (uint)Features);
            case 2:
                // Descriptor bytes of a P6: 4 KiB and 4 MiB TLBs, 16 KiB L1 caches, 256 KiB L2.
                return (0x03020101, 0, 0, 0x0C040842);
            case 0x80000000:
                return (MaxExtendedLeaf, 0, 0, 0);
            case 0x80000001:
                return (0, 0, (uint)((ulong)Features2 >> 32), (uint)((ulong)Features >> 32));
            case >= 0x80000002 and <= 0x80000004:
                {
                    var brand = new byte[48];
                    Encoding.ASCII.GetBytes(Brand, brand);
                    int at = (int)(leaf - 0x80000002) * 16;
                    return (Word(brand, at), Word(brand, at + 4), Word(brand, at + 8), Word(brand, at + 12));
                }
            case 0x80000008:
                return ((uint)addressBits | (48u << 8), 0, 0, 0);
            default:
                return (0, 0, 0, 0);
        }
    }

    private static uint Word(byte[] text, int at) => BinaryPrimitives.ReadUInt32LittleEndian(text.AsSpan(at));
}
