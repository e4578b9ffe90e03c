using System.Text.Json;
using Farm.Contracts;
using Farm.Contracts.Api;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Triage;
using Farm.Contracts.Workers;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;

namespace Farm.Silo.Tests.Wire;

public sealed class SerializationTests
{
    private static readonly RunReport Report = new()
    {
        Health = RunHealth.Ok,
        Outcome = GuestOutcome.UnsupportedOpcode,
        Furthest = BootPhase.BootLoader,
        Exits = [new("io", 12), new("hlt", 3)],
        FinalScreen = [.. Enumerable.Range(0, 25).Select(row => $"row {row}")],
        UnsupportedOpcodes =
        [
            new()
            {
                Bytes = "0F01F0", Code = "Lmsw_rm16", Mnemonic = "LMSW", Mode = CpuMode.Vm86, LinearAddress = 0xFE05B,
                Registers = [new("EAX", 0xFFFF_FFFF)],
                Segments = [new() { Name = "CS", Selector = 0xF000, Base = 0xF0000, Limit = 0xFFFF, Attributes = 0x9B }],
            },
        ],
        Stack = new() { Backend = Backend.Soft },
    };

    /// <summary>Collection expressions make compiler-made list types: they have to cross the wire like any other.</summary>
    [Fact]
    public void A_run_report_crosses_the_silo_wire_unchanged()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        var copy = serializer.Deserialize<RunReport>(serializer.SerializeToArray(Report));
        Assert.Equivalent(Report, copy, strict: true);
    }

    [Fact]
    public void A_lease_crosses_the_silo_wire_unchanged()
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();
        var lease = new Lease
        {
            JobId = 7,
            Epoch = 2,
            RunId = 9,
            Worker = "w1",
            Stack = new() { Backend = Backend.Kvm },
            Spec = new()
            {
                GuestId = "freedos",
                Kind = JobKind.Install,
                Stack = new(),
                Plan = new()
                {
                    GuestId = "freedos",
                    Kind = JobKind.Install,
                    Digest = "d",
                    Drives = [new() { Slot = "disk0", BlankMiB = 32 }],
                    Media = [new() { Name = "boot", Kind = MediaKind.Floppy, Files = ["a.img"] }],
                },
            },
        };
        var copy = serializer.Deserialize<Lease>(serializer.SerializeToArray(lease));
        Assert.Equivalent(lease, copy, strict: true);
    }

    [Fact]
    public void A_run_report_survives_json_with_enums_by_name()
    {
        var json = JsonSerializer.Serialize(Report, FarmJson.Options);
        Assert.Contains("\"outcome\":\"unsupportedOpcode\"", json, StringComparison.Ordinal);
        var copy = JsonSerializer.Deserialize<RunReport>(json, FarmJson.Options);
        Assert.Equivalent(Report, copy, strict: true);
    }

    [Fact]
    public void A_partial_screen_merges_into_the_one_before_it()
    {
        var full = new ScreenUpdate { Sequence = 4, Full = true, Rows = 2, Lines = [new() { Row = 0, Text = "a" }, new() { Row = 1, Text = "b" }] };
        var next = new ScreenUpdate { Sequence = 5, Rows = 2, Lines = [new() { Row = 1, Text = "c" }] };
        var merged = ScreenUpdate.Merge(full, next);
        Assert.NotNull(merged);
        Assert.Equal(["a", "c"], merged.Lines.Select(line => line.Text));
        Assert.Null(ScreenUpdate.Merge(full, next with { Sequence = 6 }));
        Assert.Null(ScreenUpdate.Merge(null, next));
    }
}
