using Farm.Contracts.Guests;

namespace Farm.Contracts.Matrix;

/// <summary>What the second side's result is beside the first's.</summary>
public enum CellChange { NoResult, Same, Better, Worse, FailsOtherwise, FirstOnly, SecondOnly }

/// <summary>A guest's column on two sides of the matrix: two backends, strengths, firmware sets or builds.</summary>
public sealed record CellComparison
{
    public required GuestInfo Guest { get; init; }
    public required JobKind Kind { get; init; }

    /// <summary>By its newest result, whatever is queued or runs.</summary>
    public required MatrixCell First { get; init; }
    public required MatrixCell Second { get; init; }
    public required CellChange Change { get; init; }
}
