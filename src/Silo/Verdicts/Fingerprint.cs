using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Farm.Contracts.Triage;

namespace Farm.Silo.Verdicts;

/// <summary>What makes two unsupported opcodes the same failure: opcode, prefixes, CPU mode and exit reason; not the address.</summary>
public static class Fingerprint
{
    /// <summary>12 hex digits.</summary>
    public static string Of(UnsupportedOpcodeReport report)
    {
        // an opcode in the manual's form names the instruction without its operands; bytes that do not decode are their own name
        var opcode = report.Opcode.Length > 0 ? report.Opcode : report.Bytes;
        var prefixes = string.Join(' ', Pairs(report.Prefixes).Order(StringComparer.Ordinal));
        var key = string.Create(CultureInfo.InvariantCulture, $"{opcode.ToUpperInvariant()}|{report.Code}|{prefixes}|{report.Mode}|{report.ExitReason}");
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)))[..12];
    }

    /// <summary>E.g. <c>0F 01 /6 LMSW in vm86 (rombios)</c>.</summary>
    public static string Title(UnsupportedOpcodeReport report)
    {
        var opcode = report.Opcode.Length > 0 ? report.Opcode : string.Join(' ', Pairs(report.Bytes));
        var prefix = report.Prefixes.Length > 0 ? string.Join(' ', Pairs(report.Prefixes)) + " " : "";
        return $"{prefix}{opcode} {report.Mnemonic.ToUpperInvariant()} in {report.Mode.ToString().ToLowerInvariant()} ({report.Owner})";
    }

    private static IEnumerable<string> Pairs(string hex) =>
        hex.Replace(" ", "", StringComparison.Ordinal).ToUpperInvariant().Chunk(2).Select(pair => new string(pair));
}
