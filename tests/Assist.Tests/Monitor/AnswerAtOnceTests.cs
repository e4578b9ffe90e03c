using Farm.Assist.Cpu;
using Farm.Assist.Monitor;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Monitor;

/// <summary>Traps that the host half answers while a real processor stands in the monitor's OUT.</summary>
public sealed unsafe class AnswerAtOnceTests
{
    [Fact]
    public void Simple_instructions_do_not_stop_the_processor()
    {
        using var bed = Bed();
        bed.Write(0x4000, 0x0123456789AB, 6);
        bed.Program(c =>
        {
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.stc();
            c.lgdt(__[0x4000]);
            c.pushf();
            c.pop(bx);
            c.smsw(cx);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        // LGDT and SMSW; HLT has to be waited in.
        Assert.Equal(2, bed.AnsweredAtOnce);
        Assert.Equal((0x234567u, 0x89ABu), ((uint)(bed.Guest->Gdtr.Base & 0xFFFFFF), bed.Guest->Gdtr.Limit));
        Assert.Equal(1u, (uint)bed.Guest->Gpr[3] & 1);
        Assert.Equal([new("hlt", 1), new("lgdt", 1), new("smsw", 1)], bed.Assist.Statistics.TrapsByMnemonic);
    }

    [Fact]
    public void An_instruction_patched_behind_the_map_is_executed_as_it_is_now()
    {
        using var bed = Bed();
        bed.Write(0x4000, 0x111111110FFF, 6);
        bed.Write(0x4008, 0x222222220FFF, 6);
        bed.Program(c =>
        {
            var again = c.CreateLabel();
            c.xor(ax, ax);
            c.mov(ds, ax);
            c.mov(cx, 3);
            c.Label(ref again);
            c.lgdt(__[0x4000]);
            c.@out(0x80, al);
            c.dec(cx);
            c.jne(again);
        });
        var bases = new List<ulong>();
        bed.OnWrite = (_, _) =>
        {
            bases.Add(bed.Assist.Interpreter.State->Gdtr.Base);
            int operand = bed.Ram[0x10000..0x10100].IndexOf((ReadOnlySpan<byte>)[0x0F, 0x01, 0x16]) + 0x10003;
            // As a store of the processor's own, of which nobody hears.
            if (bases.Count == 2)
                bed.Ram[operand] = 8;
        };

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal([0x111111ul, 0x111111, 0x222222], bases);
        Assert.Equal(3, bed.AnsweredAtOnce);
    }

    [Fact]
    public void The_rest_is_left_to_a_run_of_the_assist()
    {
        using var bed = Bed();
        bed.Program(c =>
        {
            c.mov(eax, cr0);
            c.mov(ebx, eax);
        });

        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(0, bed.AnsweredAtOnce);
        Assert.Equal(0u, (uint)bed.Guest->Gpr[3] & ControlRegisters.Cr0PE);
        Assert.Equal(1, bed.Assist.Statistics.Traps);
    }

    [Fact]
    public void What_a_device_asks_for_meanwhile_is_told_by_the_run_that_follows()
    {
        using var bed = Bed(trapsKeyQuestions: true);
        bed.Handler(0x16);
        bed.Program(c =>
        {
            c.mov(ah, 1);
            c.@int(0x16);
        });
        bed.OnWaits = bed.Assist.RequestStop;

        Assert.Equal(AssistStep.Stopped, bed.Run());
        Assert.Equal(0, bed.AnsweredAtOnce);
        Assert.Equal(AssistStep.Halted, bed.Run());

        Assert.Equal(1, bed.Count(0x16));
    }

    [Fact]
    public void An_instruction_that_the_assist_lacks_is_reported_and_counted_once()
    {
        using var bed = new AssistBed(refused: new HashSet<Iced.Intel.Code> { Iced.Intel.Code.Lgdt_m1632_16 }, storesUnseen: true);
        bed.Program(c => c.lgdt(__[0x4000]));

        Assert.Equal(AssistStep.Unsupported, bed.Run());

        Assert.Equal(Iced.Intel.Code.Lgdt_m1632_16, bed.Assist.Unsupported!.Code);
        Assert.True(bed.Assist.Unsupported.Refused);
        Assert.Equal(0u, bed.Guest->Rip);
        Assert.Equal(1, bed.Assist.Statistics.Traps);
    }

    private static AssistBed Bed(bool trapsKeyQuestions = false) => new(storesUnseen: true, trapsKeyQuestions: trapsKeyQuestions);
}
