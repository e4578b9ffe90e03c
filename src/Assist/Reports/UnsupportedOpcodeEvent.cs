using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;

namespace Farm.Assist.Reports;

/// <summary>The processor's mode at an instruction.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<CpuMode>))]
public enum CpuMode
{
    Real,
    Vm86,
    Protected16,
    Protected32,
    Long64,
}

/// <summary>A register by name.</summary>
public readonly record struct RegisterView(string Name, ulong Value);

/// <summary>A segment register with its descriptor cache; attributes as in the VMCS.</summary>
public sealed record SegmentView(string Name, int Selector, ulong Base, uint Limit, uint Attributes);

/// <summary>A line of disassembly.</summary>
/// <param name="Address">F000:E05B, or a linear address.</param>
/// <param name="Failing">The instruction that could not be executed.</param>
public sealed record CodeLine(string Address, string Bytes, string Text, bool Failing);

/// <summary>
/// An instruction that the assist, or a hypervisor's own emulation, could not execute, with all that is needed to fix it.
/// Its JSON form (web defaults) is that of the farm's wire record.
/// </summary>
public sealed record UnsupportedOpcodeEvent
{
    /// <summary>The instruction's bytes, hexadecimal.</summary>
    public required string Bytes { get; init; }

    /// <summary>Prefix bytes in their order, hexadecimal; empty when there are none.</summary>
    public string Prefixes { get; init; } = "";

    /// <summary>Iced's code, e.g. Lmsw_rm16; INVALID when the bytes do not decode.</summary>
    public required string Code { get; init; }

    public required string Mnemonic { get; init; }

    /// <summary>The opcode in the manual's form, e.g. 0F 01 /6; empty when the bytes do not decode.</summary>
    public string Opcode { get; init; } = "";

    /// <summary>The instruction as text.</summary>
    public string Text { get; init; } = "";

    public required CpuMode Mode { get; init; }

    public int CodeSegment { get; init; }

    public ulong InstructionPointer { get; init; }

    public ulong LinearAddress { get; init; }

    /// <summary>Whose code it is, see <see cref="AddressOwner"/>.</summary>
    public string Owner { get; init; } = "unknown";

    /// <summary>What gave up, see <see cref="OpcodeReasons"/>.</summary>
    public string ExitReason { get; init; } = OpcodeReasons.Assist;

    public IReadOnlyList<RegisterView> Registers { get; init; } = [];

    public IReadOnlyList<SegmentView> Segments { get; init; } = [];

    /// <summary>Memory around the instruction, hexadecimal.</summary>
    public string BytesAround { get; init; } = "";

    /// <summary>Linear address of the first of <see cref="BytesAround"/>.</summary>
    public ulong BytesAroundAddress { get; init; }

    public IReadOnlyList<CodeLine> Disassembly { get; init; } = [];

    /// <summary>Last taken branches, newest first, as "from -> to" in linear addresses.</summary>
    public IReadOnlyList<string> LastBranches { get; init; } = [];

    /// <summary>The text screen; the machine fills it in.</summary>
    public IReadOnlyList<string> Screen { get; init; } = [];

    /// <summary>Guest instructions executed so far.</summary>
    public long Instructions { get; init; }

    public double GuestSeconds { get; init; }

    /// <summary>What makes two events the same failure: opcode, prefixes, mode and exit reason, not the address. 12 hexadecimal digits.</summary>
    public string Fingerprint
    {
        get
        {
            string opcode = Opcode.Length > 0 ? Opcode : Bytes;
            string prefixes = string.Join(' ', Prefixes.Chunk(2).Select(pair => new string(pair)).Order(StringComparer.Ordinal));
            string key = string.Create(CultureInfo.InvariantCulture, $"{opcode}|{Code}|{prefixes}|{Mode}|{ExitReason}");
            return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)))[..12];
        }
    }
}

/// <summary>What gave up on an instruction.</summary>
public static class OpcodeReasons
{
    /// <summary>The assist is set to refuse it, or its core does not implement it, while it carries real-mode code.</summary>
    public const string Assist = "assist";

    /// <summary>The soft backend's processor does not implement it.</summary>
    public const string Soft = "soft CPU";
    public const string Kvm = "KVM emulation failure";
    public const string Whp = "WHP unsupported";
}
