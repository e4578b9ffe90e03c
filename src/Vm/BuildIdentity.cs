using System.Security.Cryptography;
using System.Text;
using Farm.Assist.Monitor;
using Farm.Firmware;
using Farm.Machine;

namespace Farm.Vm;

/// <summary>
/// Names the build of everything that decides how a guest runs. Two results of one build that differ make a cell flaky; a change of
/// the build begins a new page.
/// </summary>
public static class BuildIdentity
{
    private static readonly Type[] s_parts = [typeof(PcMachine), typeof(AssistHost), typeof(Payload)];

    /// <summary>12 hex digits, from the module identities of the machine's assemblies (equal sources, equal compiler: equal).</summary>
    public static string OfThisProgram { get; } = Compute();

    /// <summary>That with the firmware that a run boots with: another BIOS or VGABIOS is another build.</summary>
    public static string With(IEnumerable<Payload> payloads)
    {
        var text = string.Join('\n', payloads.Select(payload => $"{payload.Role} {payload.Sha256}").Order(StringComparer.Ordinal));
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(OfThisProgram + '\n' + text)))[..12];
    }

    private static string Compute()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var part in s_parts)
            hash.AppendData(part.Module.ModuleVersionId.ToByteArray());
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..12];
    }
}
