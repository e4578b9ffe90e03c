using System.Diagnostics;
using Farm.Vm.Tests;

namespace Farm.Cli.Tests;

/// <summary>The <c>farm</c> command as a process of its own, in a folder that stands for the project.</summary>
internal sealed class FarmCommand : IDisposable
{
    public FarmCommand()
    {
        Folder = Path.Combine(Path.GetTempPath(), $"farm-cli-{Guid.NewGuid():N}"[..24]);
        Directory.CreateDirectory(Path.Combine(Folder, "guests"));
        Directory.CreateDirectory(Path.Combine(Folder, "media"));
        Floppy = Write("media/hello.img", Hello());
        Write("guests/hello.yaml", Guest("hello", "files: [hello.img]"));
    }

    public string Folder { get; }

    /// <summary>Boots, prints "hello, farm", and halts.</summary>
    public string Floppy { get; }

    public string Write(string name, string text)
    {
        string path = Path.Combine(Folder, name);
        File.WriteAllText(path, text);
        return path;
    }

    public string Write(string name, byte[] content)
    {
        string path = Path.Combine(Folder, name);
        File.WriteAllBytes(path, content);
        return path;
    }

    /// <summary>A catalogue entry that boots a floppy to "hello, farm".</summary>
    /// <param name="medium">How the floppy is known: a line of YAML.</param>
    public static string Guest(string id, string medium) => $$"""
        id: {{id}}
        name: {{id}}
        family: test
        memory: 16
        media:
          - name: boot
            kind: floppy
            {{medium}}
        disk:
          boot: a
          drives:
            floppy0: boot
          guest-seconds: 30
          script:
            steps:
              - expect: 'hello, farm'
              - phase: prompt

        """;

    public async Task<CommandResult> Run(params string[] arguments)
    {
        using var process = Process.Start(Command(arguments))!;
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return new(process.ExitCode, await output, await error);
    }

    /// <summary>Starts a role; it runs until it is signalled.</summary>
    public Process Start(params string[] arguments) => Process.Start(Command(arguments))!;

    public void Dispose() => Directory.Delete(Folder, recursive: true);

    private ProcessStartInfo Command(string[] arguments)
    {
        // As ./farm does.
        bool native = arguments is ["boot", ..] && File.Exists(CompiledAhead.Program);
        var start = new ProcessStartInfo(native ? CompiledAhead.Program : "dotnet", native ? arguments : [Path.Combine(AppContext.BaseDirectory, "farm.dll"), .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Folder,
        };
        start.Environment["FARM_ROOT"] = Folder;
        start.Environment["FARM_STATE"] = Path.Combine(Folder, "state");
        start.Environment["FARM_MEDIA"] = Path.Combine(Folder, "media");
        start.Environment.Remove("FARM_URL");
        start.Environment.Remove("FARM_GUESTS");
        return start;
    }

    private static byte[] Hello()
    {
        var code = new List<byte>();
        foreach (char c in "hello, farm")
            code.AddRange([0xB8, (byte)c, 0x0E, 0xCD, 0x10]); // MOV AX, 0E00h + c; INT 10h
        code.AddRange([0xF4, 0xEB, 0xFD]); // HLT; JMP to it
        byte[] image = new byte[1474560];
        code.CopyTo(image);
        image[510] = 0x55;
        image[511] = 0xAA;
        return image;
    }
}

/// <param name="Code">The exit code.</param>
internal sealed record CommandResult(int Code, string Out, string Error)
{
    /// <summary>One clear error: this exit code, these words, nothing of a stack trace.</summary>
    public void Fails(int code, params string[] words)
    {
        Assert.True(Code == code, $"Exit code {Code} instead of {code}.\n{Out}\n{Error}");
        foreach (string word in words)
            Assert.Contains(word, Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", Error, StringComparison.Ordinal);
    }

    public string Succeeds()
    {
        Assert.True(Code == 0, $"Exit code {Code}.\n{Out}\n{Error}");
        return Out;
    }
}
