using Tmds.Linux;

namespace Farm.Machine.Hypervisors.Kvm.Native;

/// <summary>What this host has of KVM, before anything is opened.</summary>
internal abstract class KvmHost
{
    public const string Device = "/dev/kvm";

    /// <summary>Opens the device; null and errno where it cannot.</summary>
    public abstract KvmFile? TryOpen(out int error);

    /// <summary>The processor shows vmx or svm.</summary>
    public abstract bool Virtualizes { get; }

    /// <summary>The host is a virtual machine itself.</summary>
    public abstract bool IsVirtual { get; }

    /// <summary>The group that the device belongs to: a name, or a number where the host knows none; null without a device.</summary>
    public abstract string? Group { get; }
}

/// <summary>Linux as it says in /proc and /dev.</summary>
internal sealed unsafe class LinuxHost : KvmHost
{
    private const int OpenReadWriteCloexec = 0x80002;
    private const int SysStat = 4;

    /// <summary>st_gid in struct stat of x86-64.</summary>
    private const int GroupOffset = 32, StatSize = 144;

    private readonly Lazy<HashSet<string>> _flags = new(Flags);

    public override bool Virtualizes => _flags.Value.Contains("vmx") || _flags.Value.Contains("svm");

    public override bool IsVirtual => _flags.Value.Contains("hypervisor");

    public override string? Group
    {
        get
        {
            byte* status = stackalloc byte[StatSize];
            fixed (byte* name = "/dev/kvm\0"u8)
            {
                if ((int)LibC.syscall(SysStat, (void*)name, (void*)status) != 0)
                    return null;
            }
            string number = (*(uint*)(status + GroupOffset)).ToString(System.Globalization.CultureInfo.InvariantCulture);
            // name:password:number:members
            return Lines("/etc/group").Select(line => line.Split(':')).FirstOrDefault(fields => fields.Length > 2 && fields[2] == number)?[0] ?? number;
        }
    }

    public override KvmFile? TryOpen(out int error)
    {
        fixed (byte* name = "/dev/kvm\0"u8)
        {
            int descriptor = LibC.open(name, OpenReadWriteCloexec, default);
            error = descriptor < 0 ? LibC.errno : 0;
            return descriptor < 0 ? null : new KernelFile(descriptor);
        }
    }

    private static HashSet<string> Flags() =>
        [.. Lines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("flags", StringComparison.Ordinal))?.Split(' ') ?? []];

    private static string[] Lines(string file)
    {
        try
        {
            return File.ReadAllLines(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
