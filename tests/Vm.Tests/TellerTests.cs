using Farm.Contracts.Live;

namespace Farm.Vm.Tests;

/// <summary>What a worker is told of a run's screen while it goes on.</summary>
public sealed class TellerTests
{
    /// <summary>Mode 13h, filled with one colour after another for good.</summary>
    private static readonly byte[] Colours = [0xB8, 0x13, 0x00, 0xCD, 0x10, 0x68, 0x00, 0xA0, 0x07, 0x31, 0xFF, 0x88, 0xD8, 0xB9, 0x00, 0xFA, 0xF3, 0xAA, 0x43, 0xEB, 0xF4];

    /// <summary>The same for a while, then mode 3 and an 'x' after another.</summary>
    private static readonly byte[] ColoursThenText =
    [
        0x31, 0xDB, 0xB8, 0x13, 0x00, 0xCD, 0x10, 0x68, 0x00, 0xA0, 0x07, 0x31, 0xFF, 0x88, 0xD8, 0xB9, 0x00, 0xFA, 0xF3, 0xAA, 0x43, 0x81, 0xFB, 0x00, 0x06, 0x75, 0xF0,
        0xB8, 0x03, 0x00, 0xCD, 0x10, 0x31, 0xDB, 0xB8, 0x78, 0x0E, 0xCD, 0x10, 0xEB, 0xF9,
    ];

    [Fact]
    public async Task The_last_picture_told_is_the_last_one_shown()
    {
        var (told, last) = await Run(Colours, "steps:\n  - expect-graphics: {width: 320, height: 200}\n  - wait: 0.5\n");
        var pictures = told.Where(progress => progress.Screen?.Png is not null).ToList();
        Assert.True(pictures.Count > 1, $"{pictures.Count} pictures among {told.Count}");
        Assert.All(pictures, progress => Assert.Equal("320x200", progress.Screen!.Mode));
        Assert.True(pictures.Zip(pictures.Skip(1)).All(pair => pair.First.Screen!.GuestSeconds < pair.Second.Screen!.GuestSeconds));
        Assert.Equal(last, pictures[^1].Screen!.Png);
    }

    [Fact]
    public async Task No_picture_comes_behind_the_text_that_took_its_place()
    {
        var (told, _) = await Run(ColoursThenText, "steps:\n  - expect-graphics: {width: 320, height: 200}\n  - expect: 'xxx'\n  - wait: 0.2\n");
        var screens = told.Select(progress => progress.Screen).OfType<ScreenUpdate>().ToList();
        Assert.Contains(screens, screen => screen.Png is not null);
        int back = screens.FindLastIndex(screen => screen.Png is not null) + 1;
        Assert.NotEmpty(screens[back..]);
        Assert.All(screens[back..], screen => Assert.StartsWith("text 80x25", screen.Mode, StringComparison.Ordinal));
        Assert.Contains(screens[^1].Lines!, line => line.Text.Contains("xxx", StringComparison.Ordinal));
    }

    private static async Task<(List<VmProgress> Told, byte[] Last)> Run(byte[] code, string script)
    {
        var folder = Directory.CreateTempSubdirectory("farm-vm-");
        try
        {
            var told = new Listener();
            await new MachineRunner().Run(await BootSectorJob.Create(folder.FullName, code, script), told, TestContext.Current.CancellationToken);
            return (told.Progresses, await File.ReadAllBytesAsync(Path.Combine(folder.FullName, "screen.png"), TestContext.Current.CancellationToken));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
