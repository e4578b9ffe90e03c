using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Farm.Firmware;

namespace Farm.Worker;

/// <summary>
/// Names the build of everything that decides how a guest runs. Two results of one build that differ make a cell flaky; a change of
/// the build begins a new page.
/// </summary>
public static class BuildIdentity
{
    private static readonly string[] s_assemblies = ["Farm.Machine", "Farm.Assist", "Farm.Firmware"];

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
        foreach (var name in s_assemblies)
        {
            try
            {
                hash.AppendData(Assembly.Load(name).ManifestModule.ModuleVersionId.ToByteArray());
            }
            catch (Exception e) when (e is IOException or BadImageFormatException)
            {
                // not part of this program: it cannot differ either
            }
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..12];
    }
}
