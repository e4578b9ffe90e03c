using System.Globalization;
using System.Text;
using System.Text.Json;
using Farm.Bench;

string? json = null, only = null;
string[] names = ["farm", "farm native", "qemu", "bochs"];
for (int i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--json" when i + 1 < args.Length:
            json = args[++i];
            break;
        case "--only" when i + 1 < args.Length:
            only = args[++i];
            break;
        case "--with" when i + 1 < args.Length:
            names = args[++i].Split(',');
            break;
        default:
            Console.Error.WriteLine("""
                usage: farm bench [--only TEXT] [--with EMULATOR,...] [--json FILE]
                Measures guest MIPS in small loops, and the time of boots, beside QEMU (TCG) and Bochs on the same media.
                  --only TEXT   rows whose name contains TEXT: loop, boot, "loop alu", freedos...
                  --with LIST   emulators: farm, farm native, farm full, qemu, bochs
                  --json FILE   where the results go (default .farm/bench.json)
                """);
            return 2;
    }
}
string root = Environment.GetEnvironmentVariable("FARM_ROOT") is { Length: > 0 } folder ? folder : Environment.CurrentDirectory;
json ??= Path.Combine(root, ".farm", "bench.json");
Emulator[] known = [new FarmEmulator(root, "vm86"), new FarmEmulator(root, "full"), new FarmEmulator(root, "native"), new QemuEmulator(), new BochsEmulator()];
var emulators = new List<Emulator>();
foreach (string name in names)
{
    if (known.FirstOrDefault(emulator => emulator.Name == name) is not { } emulator)
    {
        Console.Error.WriteLine($"There is no emulator '{name}'; there are {string.Join(", ", known.Select(emulator => emulator.Name))}.");
        return 2;
    }
    if (emulator.Missing() is { } missing)
        Console.WriteLine($"without {name}: {missing}");
    else
        emulators.Add(emulator);
}
foreach (var emulator in emulators)
    Console.WriteLine($"{emulator.Name}: {emulator.Describe()}");

var rows = new List<Row>();
foreach (var loop in Loop.All)
    rows.Add(new Row($"loop {loop.Name} {loop.Bits}", emulator => RunLoop(emulator, loop), Loop.Instructions));
foreach (var boot in GuestBoot.All(root))
    rows.Add(new Row($"boot {boot.Name}", emulator => boot.Run(emulator), null));
rows.RemoveAll(row => only is not null && !row.Name.Contains(only, StringComparison.OrdinalIgnoreCase));

var table = new StringBuilder();
Line($"{"",-20}{string.Concat(emulators.Select(emulator => $"{emulator.Name,16}"))}{string.Concat(emulators.Skip(1).Select(emulator => $"{"/ " + emulator.Name,14}"))}");
foreach (var row in rows)
{
    foreach (var emulator in emulators)
        row.Results[emulator.Name] = Measure(row, emulator);
    Line($"{row.Name,-20}{string.Concat(emulators.Select(emulator => $"{Cell(row, row.Results[emulator.Name]),16}"))}{string.Concat(emulators.Skip(1).Select(emulator => $"{Ratio(row, emulator),14}"))}");
    foreach (var (name, result) in row.Results.Where(result => result.Value.Problem is not null))
        Console.WriteLine($"    {name}: {result.Problem}");
}
Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(json))!);
File.WriteAllText(json, JsonSerializer.Serialize(new
{
    Host = $"{Environment.ProcessorCount} processors",
    Emulators = emulators.ToDictionary(emulator => emulator.Name, emulator => emulator.Describe()),
    Rows = rows.Select(row => new { row.Name, row.Instructions, row.Results }),
}, new JsonSerializerOptions(JsonSerializerDefaults.Web) { WriteIndented = true }));
Console.WriteLine($"Loops: MIPS by processor time. Boots: wall seconds (processor seconds). The last columns: {emulators.FirstOrDefault()?.Name} relative to the others by processor time, above 1 is faster. {json}");
return 0;

void Line(string text)
{
    table.AppendLine(text);
    Console.WriteLine(text);
}

static Measurement Measure(Row row, Emulator emulator)
{
    try
    {
        return row.Measure(emulator);
    }
    catch (Exception e) when (e is InvalidOperationException or IOException or System.Net.Sockets.SocketException)
    {
        return Measurement.Failed(e.Message);
    }
}

static Measurement RunLoop(Emulator emulator, Loop loop)
{
    var result = RunLoopFor(emulator, loop, 1);
    // Too short to be measured on a busy host.
    return result.Cpu < 0.3 ? RunLoopFor(emulator, loop, 10) : result;
}

static Measurement RunLoopFor(Emulator emulator, Loop loop, int longer)
{
    string floppy = Path.Combine(Path.GetTempPath(), $"farm-bench-{Environment.ProcessId}.img");
    File.WriteAllBytes(floppy, loop.Image(longer));
    try
    {
        var result = emulator.RunLoop(floppy, TimeSpan.FromSeconds(120));
        return result with { Wall = result.Wall / longer, Cpu = result.Cpu / longer };
    }
    finally
    {
        File.Delete(floppy);
    }
}

static string Cell(Row row, Measurement result) => (row.Instructions, result.Cpu) switch
{
    (_, null) => "-",
    ({ } instructions, { } cpu) => string.Create(CultureInfo.InvariantCulture, $"{instructions / Math.Max(cpu, 1e-4) / 1e6:F0}"),
    _ => string.Create(CultureInfo.InvariantCulture, $"{result.Wall:F2} ({result.Cpu:F2})"),
};

string Ratio(Row row, Emulator other) => row.Results[emulators[0].Name].Cpu is { } mine && row.Results[other.Name].Cpu is { } theirs
    ? string.Create(CultureInfo.InvariantCulture, $"{theirs / Math.Max(mine, 1e-4):F2}")
    : "-";

/// <summary>One line of the table.</summary>
internal sealed record Row(string Name, Func<Emulator, Measurement> Measure, long? Instructions)
{
    public Dictionary<string, Measurement> Results { get; } = [];
}
