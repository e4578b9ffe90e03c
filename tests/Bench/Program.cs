using System.Globalization;
using Farm.Bench;
using Farm.Bench.Kvm;

string root = Environment.GetEnvironmentVariable("FARM_ROOT") is { Length: > 0 } folder ? folder : Environment.CurrentDirectory;
// What infra/bench-kvm.sh calls in the nested machine.
if (args is ["kvm-inside", var exits, var boots, var results])
    return KvmCost.Run(root, exits == "-" ? null : exits, boots, results);

string? json = null, docs = null, only = null;
string[] names = ["farm", "farm native", "qemu", "bochs"];
int repeat = 1;
bool slow = false;
for (int i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--json" when i + 1 < args.Length:
            json = args[++i];
            break;
        case "--docs" when i + 1 < args.Length:
            docs = args[++i];
            break;
        case "--only" when i + 1 < args.Length:
            only = args[++i];
            break;
        case "--with" when i + 1 < args.Length:
            names = args[++i].Split(',');
            break;
        case "--repeat" when i + 1 < args.Length && int.TryParse(args[i + 1], CultureInfo.InvariantCulture, out repeat) && repeat is >= 1 and <= 100:
            i++;
            break;
        case "--slow":
            slow = true;
            break;
        default:
            Console.Error.WriteLine("""
                usage: farm bench [--only TEXT] [--with EMULATOR,...] [--repeat N] [--slow] [--json FILE] [--docs FILE]
                       farm bench kvm
                Measures guest MIPS in small loops, and the time of boots, beside QEMU (TCG) and Bochs on the same media.
                  --only TEXT   rows whose name contains TEXT: loop, boot, "loop alu", freedos...
                  --with LIST   emulators: farm, farm native, farm full, qemu, bochs
                  --repeat N    every measurement N times (1 to 100); the one with the least processor time counts
                  --slow        the boots too that take an interpreter minutes: Debian's installer
                  --json FILE   where the results go (default .farm/bench.json)
                  --docs FILE   a document whose results are replaced by these, as docs/benchmarks.md
                farm bench kvm measures the kvm backend in a nested machine: see infra/bench-kvm.sh.
                """);
            return 2;
    }
}
if (docs is not null && Report.Refuses(docs) is { } refusal)
{
    Console.Error.WriteLine(refusal);
    return 2;
}
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
if (emulators.Count == 0)
    return 3;

var rows = new List<Row>();
foreach (var loop in Loop.All)
    rows.Add(new Row($"loop {loop.Name} {loop.Bits}", emulator => RunLoop(emulator, loop), Loop.Instructions));
rows.RemoveAll(row => !Wanted(row.Name));
foreach (var boot in GuestBoot.All(root, slow, name => Wanted($"boot {name}")))
    rows.Add(new Row($"boot {boot.Name}", boot.Run, null));

var report = new Report(emulators, json ?? Path.Combine(root, ".farm", "bench.json"));
foreach (var row in rows)
{
    // Each emulator in its turn, so that a host whose pace changes is unfair to none.
    for (int i = 0; i < repeat; i++)
    {
        foreach (var emulator in emulators)
            row.Add(emulator.Name, Measure(row, emulator));
    }
    report.Add(row);
}
report.Finish(docs);
return 0;

bool Wanted(string row) => only is null || row.Contains(only, StringComparison.OrdinalIgnoreCase);

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
