using Farm.Contracts;
using Farm.Contracts.Guests;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Contracts.Matrix;
using Farm.Contracts.Triage;

namespace Farm.Dashboard.Tests;

/// <summary>Guests, cells, jobs and runs for tests.</summary>
public static class Sample
{
    public static StackSpec Stack { get; } = new() { Backend = Backend.Soft };

    public static MatrixCell Cell(string guest, JobKind kind, CellState state = CellState.NotTried) => new()
    {
        GuestId = guest,
        Kind = kind,
        State = state,
        Verdict = state is CellState.Yes or CellState.No or CellState.Flaky ? state : CellState.NotTried,
    };

    public static MatrixRow Row(string guest, string name, CellState install = CellState.NotTried, CellState disk = CellState.NotTried) => new()
    {
        Guest = new GuestInfo { Id = guest, Name = name, Family = "dos", Digest = "d", Kinds = [JobKind.Install, JobKind.Disk] },
        Install = Cell(guest, JobKind.Install, install),
        Disk = Cell(guest, JobKind.Disk, disk),
    };

    public static FarmEvent CellChanged(long sequence, MatrixCell cell) => new() { Kind = FarmEventKind.CellChanged, Sequence = sequence, Cell = cell };

    public static JobInfo Job(long id, string guest, JobState state) => new() { Id = id, GuestId = guest, Kind = JobKind.Disk, Stack = Stack, State = state };

    public static RunInfo Run(long id) => new() { Id = id, JobId = id + 100, Epoch = 1, GuestId = "freedos", Kind = JobKind.Disk, Stack = Stack, Worker = "w1" };

    public static ScreenUpdate Screen(params string[] lines) => new() { Sequence = 1, Full = true, Lines = [.. lines.Select((text, row) => new ScreenLine { Row = row, Text = text })] };

    public static TriageDetail Triage(string fingerprint) => new()
    {
        Group = new TriageGroup
        {
            Fingerprint = fingerprint,
            Title = "0F 33 RDPMC in vm86",
            Mnemonic = "Rdpmc",
            Opcode = "0F 33",
            Mode = CpuMode.Vm86,
            Occurrences = 3,
            CellsBlocked = [new() { GuestId = "probe", Kind = JobKind.Disk, Stack = Stack, RunId = 7 }],
        },
        Samples =
        [
            new()
            {
                RunId = 7,
                GuestId = "probe",
                Kind = JobKind.Disk,
                Stack = Stack,
                Report = new()
                {
                    Bytes = "0F 33",
                    Code = "Rdpmc",
                    Mnemonic = "Rdpmc",
                    Text = "rdpmc",
                    Mode = CpuMode.Vm86,
                    InstructionPointer = 0x7C05,
                    LinearAddress = 0x7C05,
                    Owner = "boot loader",
                    Registers = [new("EAX", 0x1234ABCD)],
                    Segments = [new() { Name = "CS", Selector = 0xF000, Base = 0xF0000, Limit = 0xFFFF, Attributes = 0xF3 }],
                    Disassembly =
                    [
                        new() { Address = "0000:7C02", Bytes = "31 C9", Text = "xor cx,cx" },
                        new() { Address = "0000:7C05", Bytes = "0F 33", Text = "rdpmc", Failing = true },
                        new() { Address = "0000:7C07", Bytes = "F4", Text = "hlt" },
                    ],
                },
            },
        ],
    };
}
