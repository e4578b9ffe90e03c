using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Farm.Bench;

/// <summary>The results: a Markdown table as they come, a JSON file, the part of a document.</summary>
internal sealed class Report
{
    private const string Begin = "<!-- results of farm bench -->", End = "<!-- end of the results -->";

    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    private readonly StringBuilder _text = new();
    private readonly IReadOnlyList<Emulator> _emulators;
    private readonly Dictionary<string, string> _descriptions;
    private readonly List<Row> _rows = [];
    private readonly string _file, _host = Host(), _load = Load();

    /// <param name="emulators">The columns; the first is compared with the others.</param>
    /// <param name="file">Where the JSON goes.</param>
    public Report(IReadOnlyList<Emulator> emulators, string file)
    {
        _emulators = emulators;
        _file = file;
        _descriptions = emulators.ToDictionary(emulator => emulator.Name, emulator => emulator.Describe());
        Line($"Host: {_host}");
        Line("");
        foreach (var emulator in emulators)
            Line($"- {emulator.Name}: {_descriptions[emulator.Name]}");
        Line("");
        string[] titles = ["", .. emulators.Select(emulator => emulator.Name), .. emulators.Skip(1).Select(emulator => $"{emulators[0].Name} / {emulator.Name}")];
        Cells(titles);
        Cells(titles.Select((_, i) => i == 0 ? "---" : "---:"));
    }

    /// <summary>Prints a row and writes the JSON file anew, so that a run which is cut short leaves what it measured.</summary>
    public void Add(Row row)
    {
        _rows.Add(row);
        Cells([row.Name, .. _emulators.Select(emulator => Cell(row, emulator.Name)), .. _emulators.Skip(1).Select(emulator => Ratio(row, emulator.Name))]);
        Save();
    }

    /// <param name="docs">Null, or the document that gets the results.</param>
    public void Finish(string? docs)
    {
        foreach (var row in _rows)
        {
            foreach (var (name, result) in row.Results.Where(result => result.Value.Problem is not null))
                Line($"\n{row.Name} on {name}: {result.Problem}");
        }
        Line($"\n{DateTimeOffset.UtcNow:yyyy-MM-dd}; load of the host at the beginning {_load}, at the end {Load()}.");
        if (docs is null)
            return;
        string document = File.ReadAllText(docs);
        var (from, to) = Place(document);
        File.WriteAllText(docs, $"{document[..from]}\n{_text}{document[to..]}");
    }

    /// <summary>Null when results can go into the document, else why not.</summary>
    public static string? Refuses(string docs) =>
        !File.Exists(docs) ? $"There is no file {docs}."
        : Place(File.ReadAllText(docs)).To < 0 ? $"{docs} lacks the lines '{Begin}' and '{End}' between which the results go."
        : null;

    private static (int From, int To) Place(string document)
    {
        int from = document.IndexOf(Begin, StringComparison.Ordinal);
        return from < 0 ? (-1, -1) : (from + Begin.Length, document.IndexOf(End, from, StringComparison.Ordinal));
    }

    private void Save()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(_file))!);
        File.WriteAllText(_file, JsonSerializer.Serialize(new
        {
            Host = _host,
            Emulators = _descriptions,
            Rows = _rows.Select(row => new
            {
                row.Name,
                Results = row.Results.ToDictionary(result => result.Key, result => new
                {
                    result.Value.Wall,
                    result.Value.Cpu,
                    Instructions = row.Instructions ?? result.Value.Instructions,
                    Mips = row.Mips(result.Key, out _),
                    result.Value.Problem,
                }),
            }),
        }, s_json));
    }

    private void Cells(IEnumerable<string> cells) => Line($"| {string.Join(" | ", cells)} |");

    private void Line(string text)
    {
        _text.Append(text).Append('\n');
        Console.WriteLine(text);
    }

    private static string Cell(Row row, string emulator)
    {
        if (row.Mips(emulator, out bool borrowed) is not { } mips)
            return row.Results[emulator] is { Wall: { } wall, Cpu: { } cpu } ? Invariant($"{wall:F1} s, {cpu:F2} s") : "failed";
        var result = row.Results[emulator];
        return row.Instructions is not null ? Invariant($"{mips:F0} MIPS") : Invariant($"{result.Wall:F1} s, {result.Cpu:F2} s, {(borrowed ? "~" : "")}{mips:F0} MIPS");
    }

    /// <summary>How often faster the first is, by processor time.</summary>
    private string Ratio(Row row, string other) => row.Results[_emulators[0].Name].Cpu is { } mine && row.Results[other].Cpu is { } theirs
        ? Invariant($"{theirs / Math.Max(mine, 1e-4):F2}")
        : "";

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string Host()
    {
        string processor = Regex.Match(File.ReadAllText("/proc/cpuinfo"), @"model name\s*:\s*(.*)").Groups[1].Value;
        return $"{processor}, {Environment.ProcessorCount} processors, {System.Runtime.InteropServices.RuntimeInformation.OSDescription}";
    }

    private static string Load() => File.ReadAllText("/proc/loadavg").Split(' ')[0];
}
