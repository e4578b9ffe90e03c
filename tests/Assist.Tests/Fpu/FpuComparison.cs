using System.Text;
using Farm.Assist.Cpu;

namespace Farm.Assist.Tests.Fpu;

/// <summary>The host's FPU and ours side by side: the same random state, one instruction, every bit compared.</summary>
internal sealed unsafe class FpuComparison : IDisposable
{
    private const uint DataAt = 0x5000;
    private readonly HostFpu _host = new();
    private readonly TestMachine _guest = new(CpuModel.X64 with { Features2 = CpuModel.X64.Features2 | CpuFeatures2.Sse3 });
    private Random _random = new(0);

    public FpuValues Values { get; private set; } = new(new Random(0));

    /// <summary>Starts a reproducible sequence.</summary>
    public void Seed(int seed)
    {
        _random = new Random(seed);
        Values = new FpuValues(_random);
    }

    /// <summary>A random x87 state with no exception pending, and random memory.</summary>
    public FpuFrame RandomFrame(bool unmasked, bool holes)
    {
        FpuFrame frame = default;
        int control = 0x40 | (_random.Next(4) << 10) | (_random.Next(5) switch { 0 => 0, 1 => 2, _ => 3 } << 8);
        int masks = unmasked && _random.Next(3) == 0 ? _random.Next(64) : 63;
        int top = _random.Next(8);
        int status = (_random.Next(16) switch { int c => ((c & 7) << 8) | ((c & 8) << 11) }) | (top << 11) | (_random.Next(4) == 0 ? _random.Next(64) & masks : 0);
        *(ushort*)frame.Image = (ushort)(control | masks);
        *(ushort*)(frame.Image + 2) = (ushort)status;
        frame.Image[4] = (byte)(holes && _random.Next(4) == 0 ? _random.Next(256) : 255);
        *(uint*)(frame.Image + 24) = 0x1F80;
        for (int i = 0; i < 8; i++)
        {
            (ushort signExponent, ulong mantissa) = Values.Extended();
            *(ulong*)(frame.Image + 32 + (i * 16)) = mantissa;
            *(ushort*)(frame.Image + 32 + (i * 16) + 8) = signExponent;
        }
        for (int i = 0; i < 16; i++)
            *(ulong*)(frame.Data + (i * 8)) = Values.Bits();
        frame.Flags = 2 | ((uint)_random.Next(0x1000) & (Eflags.CF | Eflags.PF | Eflags.ZF | Eflags.SF | Eflags.OF | Eflags.AF));
        frame.Rax = Values.Bits();
        frame.Rcx = Values.Bits();
        return frame;
    }

    /// <summary>Runs the instruction on both; the difference in words, or null.</summary>
    /// <param name="instruction">Bytes that mean the same in 32- and 64-bit mode; memory operand [EDX].</param>
    /// <param name="before">The state to start from.</param>
    /// <param name="tolerance">Largest difference of a changed ST register in units of its last place.</param>
    /// <param name="ignoredStatus">Status bits not to compare.</param>
    public string? Compare(ReadOnlySpan<byte> instruction, in FpuFrame before, int tolerance = 0, ushort ignoredStatus = 0)
    {
        FpuFrame expected = before, actual = before;
        _host.Execute(instruction, ref expected);
        RunGuest(instruction, &actual);
        var text = new StringBuilder();
        Check(text, "FCW", *(ushort*)expected.Image, *(ushort*)actual.Image);
        Check(text, "FSW", *(ushort*)(expected.Image + 2) & ~ignoredStatus, *(ushort*)(actual.Image + 2) & ~ignoredStatus);
        Check(text, "FTW", expected.Image[4], actual.Image[4]);
        Check(text, "MXCSR", *(uint*)(expected.Image + 24), *(uint*)(actual.Image + 24));
        for (int i = 0; i < 8; i++)
            CheckRegister(text, i, expected, actual, tolerance);
        for (int i = 0; i < 16; i++)
            Check(text, $"XMM{i / 2}.{i % 2}", *(ulong*)(expected.Image + 160 + (i * 8)), *(ulong*)(actual.Image + 160 + (i * 8)));
        for (int i = 0; i < 16; i++)
            Check(text, $"[{i * 8}]", *(ulong*)(expected.Data + (i * 8)), *(ulong*)(actual.Data + (i * 8)));
        Check(text, "EAX", (uint)expected.Rax, (uint)actual.Rax);
        Check(text, "ECX", (uint)expected.Rcx, (uint)actual.Rcx);
        const uint Compared = Eflags.Arithmetic;
        Check(text, "EFLAGS", expected.Flags & Compared, actual.Flags & Compared);
        return text.Length == 0 ? null : $"{Convert.ToHexString(instruction)} on\n{Describe(before)}\n{text}";
    }

    public void Dispose()
    {
        _host.Dispose();
        _guest.Dispose();
    }

    private void RunGuest(ReadOnlySpan<byte> instruction, FpuFrame* frame)
    {
        _guest.SetUpProtected();
        CpuState* state = _guest.State;
        state->Cr0 |= ControlRegisters.Cr0NE;
        state->Cr4 |= ControlRegisters.Cr4OSFXSR | ControlRegisters.Cr4OSXMMEXCPT;
        state->FpuControl = *(ushort*)frame->Image;
        state->FpuStatus = *(ushort*)(frame->Image + 2);
        int top = (state->FpuStatus >> 11) & 7, tags = 0;
        for (int i = 0; i < 8; i++)
        {
            tags |= ((frame->Image[4] >> i) & 1) != 0 ? 0 : 3 << (i * 2);
            int physical = (top + i) & 7;
            state->Fpr[physical * 2] = *(ulong*)(frame->Image + 32 + (i * 16));
            state->Fpr[(physical * 2) + 1] = *(ushort*)(frame->Image + 32 + (i * 16) + 8);
        }
        state->FpuTag = (ushort)tags;
        state->Mxcsr = *(uint*)(frame->Image + 24);
        for (int i = 0; i < 16; i++)
            state->Xmm[i] = *(ulong*)(frame->Image + 160 + (i * 8));
        for (int i = 0; i < 16; i++)
            _guest.Write(DataAt + ((ulong)i * 8), *(ulong*)(frame->Data + (i * 8)));
        state->Gpr[0] = (uint)frame->Rax;
        state->Gpr[1] = (uint)frame->Rcx;
        state->Gpr[2] = state->Gpr[7] = DataAt;
        state->Rflags = (uint)frame->Flags;
        _guest.Load(TestMachine.CodeAt, instruction);
        _guest.Cpu.StepOne();
        Assert.Equal(TestMachine.CodeAt + (ulong)instruction.Length, state->Rip);

        *(ushort*)frame->Image = state->FpuControl;
        *(ushort*)(frame->Image + 2) = state->FpuStatus;
        top = (state->FpuStatus >> 11) & 7;
        int abridged = 0;
        for (int i = 0; i < 8; i++)
        {
            abridged |= ((state->FpuTag >> (i * 2)) & 3) != 3 ? 1 << i : 0;
            int physical = (top + i) & 7;
            *(ulong*)(frame->Image + 32 + (i * 16)) = state->Fpr[physical * 2];
            *(ushort*)(frame->Image + 32 + (i * 16) + 8) = (ushort)state->Fpr[(physical * 2) + 1];
        }
        frame->Image[4] = (byte)abridged;
        *(uint*)(frame->Image + 24) = state->Mxcsr;
        for (int i = 0; i < 16; i++)
            *(ulong*)(frame->Image + 160 + (i * 8)) = state->Xmm[i];
        for (int i = 0; i < 16; i++)
            *(ulong*)(frame->Data + (i * 8)) = _guest.Read64(DataAt + ((ulong)i * 8));
        frame->Rax = state->Gpr[0];
        frame->Rcx = state->Gpr[1];
        frame->Flags = _guest.Cpu.Flags;
    }

    private static void CheckRegister(StringBuilder text, int index, in FpuFrame expected, in FpuFrame actual, int tolerance)
    {
        fixed (byte* a = expected.Image, b = actual.Image)
        {
            ulong mantissaA = *(ulong*)(a + 32 + (index * 16)), mantissaB = *(ulong*)(b + 32 + (index * 16));
            ushort exponentA = *(ushort*)(a + 40 + (index * 16)), exponentB = *(ushort*)(b + 40 + (index * 16));
            if (mantissaA == mantissaB && exponentA == exponentB)
                return;
            var valueA = new UInt128(exponentA, mantissaA << 1);
            var valueB = new UInt128(exponentB, mantissaB << 1);
            UInt128 distance = valueA > valueB ? valueA - valueB : valueB - valueA;
            if (distance <= (UInt128)(tolerance * 2))
                return;
            text.Append($"  ST{index}: host {exponentA:X4}.{mantissaA:X16}, we {exponentB:X4}.{mantissaB:X16}\n");
        }
    }

    private static void Check(StringBuilder text, string name, ulong expected, ulong actual)
    {
        if (expected != actual)
            text.Append($"  {name}: host {expected:X}, we {actual:X}\n");
    }

    private static void Check(StringBuilder text, string name, int expected, int actual) => Check(text, name, (uint)expected, (uint)actual);

    private static string Describe(in FpuFrame frame)
    {
        var text = new StringBuilder();
        fixed (byte* image = frame.Image, data = frame.Data)
        {
            text.Append($"  FCW {*(ushort*)image:X4} FSW {*(ushort*)(image + 2):X4} FTW {image[4]:X2} MXCSR {*(uint*)(image + 24):X4} EFLAGS {frame.Flags:X}");
            for (int i = 0; i < 8; i++)
                text.Append($"{(i % 4 == 0 ? "\n " : "")} ST{i} {*(ushort*)(image + 40 + (i * 16)):X4}.{*(ulong*)(image + 32 + (i * 16)):X16}");
            text.Append($"\n  XMM0 {*(ulong*)(image + 168):X16}{*(ulong*)(image + 160):X16} XMM1 {*(ulong*)(image + 184):X16}{*(ulong*)(image + 176):X16}");
            text.Append($"\n  memory {*(ulong*)data:X16} {*(ulong*)(data + 8):X16} EAX {(uint)frame.Rax:X8} ECX {(uint)frame.Rcx:X8}");
        }
        return text.ToString();
    }
}
