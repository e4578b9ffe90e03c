using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Tests.Instructions;

/// <summary>Nothing that a model's CPUID promises is missing.</summary>
public sealed class CoverageTests
{
    [Fact]
    public void Every_general_instruction_of_every_model_has_a_handler()
    {
        List<Code> missing = [];
        foreach (Code code in Enum.GetValues<Code>())
        {
            if (!code.IsOpcode() || InstructionTable.Has(code) || !CpuModel.All.Any(model => model.Knows(code)))
                continue;
            if (IsGeneral(code))
                missing.Add(code);
        }
        Assert.Empty(missing);
    }

    private static bool IsGeneral(Code code) => !Array.Exists(code.CpuidFeatures(), static feature => feature is
        CpuidFeature.FPU or CpuidFeature.FPU287 or CpuidFeature.FPU287XL_ONLY or CpuidFeature.FPU387 or CpuidFeature.MMX or CpuidFeature.FXSR
        or CpuidFeature.SSE or CpuidFeature.SSE2 or CpuidFeature.SSE3);
}

file static class CodeExtensions
{
    /// <summary>False for Iced's names of data and of nothing.</summary>
    public static bool IsOpcode(this Code code) =>
        code is not (Code.INVALID or Code.DeclareByte or Code.DeclareWord or Code.DeclareDword or Code.DeclareQword or Code.Zero_bytes);
}
