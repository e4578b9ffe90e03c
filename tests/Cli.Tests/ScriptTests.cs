using System.Diagnostics;

namespace Farm.Cli.Tests;

/// <summary>The <c>farm</c> script where packages are missing: stand-ins for dpkg-query, id and apt-get come first on PATH.</summary>
public sealed class ScriptTests : IDisposable
{
    private readonly string _bin = Directory.CreateTempSubdirectory("farm-script-").FullName;

    public void Dispose() => Directory.Delete(_bin, recursive: true);

    [Fact]
    public async Task A_user_without_rights_is_told_which_packages_to_install_before_anything_happens()
    {
        StandIn("dpkg-query", "exit 1");
        StandIn("id", "echo 1000");
        StandIn("apt-get", $"echo \"$@\" >>{_bin}/called; exit 1");
        StandIn("dotnet", $"echo \"$@\" >>{_bin}/called; exit 1");
        var (code, error) = await Script("up");
        Assert.Equal(3, code);
        Assert.Contains("sudo apt-get install --no-install-recommends", error, StringComparison.Ordinal);
        foreach (string package in new[] { "bochsbios", "vgabios", "seabios", "postgresql", "grub-pc-bin" })
            Assert.Contains(package, error, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(_bin, "called")));
    }

    [Fact]
    public async Task Only_what_is_missing_is_named_and_boot_needs_firmware_alone()
    {
        StandIn("dpkg-query", "case \"$*\" in *vgabios*) exit 1;; *) echo installed;; esac");
        StandIn("id", "echo 1000");
        var (code, error) = await Script("boot");
        Assert.Equal(3, code);
        Assert.Contains("these Debian packages are missing: vgabios\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Root_installs_what_is_missing_and_hears_why_it_failed()
    {
        StandIn("dpkg-query", "exit 1");
        StandIn("id", "echo 0");
        StandIn("apt-get", $"echo \"$@\" >>{_bin}/called; echo E: no network; exit 100");
        var (code, error) = await Script("boot");
        Assert.Equal(3, code);
        Assert.Contains("E: no network", error, StringComparison.Ordinal);
        Assert.Contains("apt-get could not install bochsbios vgabios seabios", error, StringComparison.Ordinal);
        string called = await File.ReadAllTextAsync(Path.Combine(_bin, "called"), TestContext.Current.CancellationToken);
        Assert.Contains("install -y -q --no-install-recommends bochsbios vgabios seabios", called, StringComparison.Ordinal);
        Assert.Contains("update", called, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_the_sdk_the_script_says_what_to_install()
    {
        // a PATH with what the script needs, and no dotnet
        foreach (string program in new[] { "bash", "dirname", "readlink", "env", "grep", "id" })
            File.CreateSymbolicLink(Path.Combine(_bin, program), "/usr/bin/" + program);
        StandIn("dpkg-query", "echo installed");
        var (code, error) = await Script("up", _bin);
        Assert.Equal(3, code);
        Assert.Contains("the .NET 10 SDK is not on PATH", error, StringComparison.Ordinal);
    }

    private void StandIn(string name, string body)
    {
        string file = Path.Combine(_bin, name);
        File.WriteAllText(file, "#!/bin/sh\n" + body + "\n");
        using var chmod = Process.Start("chmod", ["+x", file]);
        chmod.WaitForExit();
    }

    private async Task<(int Code, string Error)> Script(string verb, string? path = null)
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "farm.sln")))
            folder = folder.Parent!;
        var start = new ProcessStartInfo("/bin/bash", [Path.Combine(folder.FullName, "farm"), verb]) { RedirectStandardError = true, RedirectStandardOutput = true };
        start.Environment["PATH"] = path ?? _bin + ":" + Environment.GetEnvironmentVariable("PATH");
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        string error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await output;
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, error);
    }
}
