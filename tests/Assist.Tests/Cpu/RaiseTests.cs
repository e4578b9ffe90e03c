using Farm.Assist.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Assist.Tests.Cpu;

/// <summary>Faults that an instruction's handler finds before it changes anything, which are raised without an exception of the host's.</summary>
public sealed unsafe class RaiseTests
{
    private const ulong HandlersAt = 0x20000;

    private static readonly Dictionary<string, (byte Vector, Action<Assembler> Emit)> Sensitive = new()
    {
        ["cli"] = (Vectors.GP, static a => a.cli()),
        ["sti"] = (Vectors.GP, static a => a.sti()),
        ["hlt"] = (Vectors.GP, static a => a.hlt()),
        ["pushf"] = (Vectors.GP, static a => a.pushf()),
        ["popf"] = (Vectors.GP, static a => a.popf()),
        ["iret"] = (Vectors.GP, static a => a.iret()),
        ["int"] = (Vectors.GP, static a => a.@int(0x21)),
        ["in"] = (Vectors.GP, static a => a.@in(al, dx)),
        ["out"] = (Vectors.GP, static a => a.@out(dx, al)),
        ["lgdt"] = (Vectors.GP, static a => a.lgdt(__[0x100])),
        ["lidt"] = (Vectors.GP, static a => a.lidt(__[0x100])),
        ["mov cr"] = (Vectors.GP, static a => a.mov(cr0, eax)),
        ["clts"] = (Vectors.GP, static a => a.clts()),
        ["wrmsr"] = (Vectors.GP, static a => a.wrmsr()),
        ["arpl"] = (Vectors.UD, static a => a.arpl(ax, bx)),
        ["ud2"] = (Vectors.UD, static a => a.ud2()),
        ["div"] = (Vectors.DE, static a => a.div(bl)),
        ["aam"] = (Vectors.DE, static a => a.aam(0)),
    };

    public static TheoryData<string> Names => [.. Sensitive.Keys];

    /// <summary>In the midst of a block, under a monitor that looks at what was pushed.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void A_sensitive_instruction_of_virtual_8086_mode_faults_where_it_stands(string name)
    {
        using var machine = Build();
        (byte vector, var emit) = Sensitive[name];
        machine.Assemble(a =>
        {
            a.nop();
            a.nop();
            emit(a);
            a.nop();
        });
        CpuState before = *machine.State;

        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));

        Assert.Equal(HandlersAt + (vector * 16u) + 1, machine.State->Rip);
        ulong frame = machine.State->Gpr[4];
        if (vector == Vectors.GP)
        {
            Assert.Equal(0u, machine.Read32(frame));
            frame += 4;
        }
        Assert.Equal((2u, 0x1000u), (machine.Read32(frame), machine.Read32(frame + 4)));
        Assert.Equal((uint)before.Rflags | Eflags.RF, machine.Read32(frame + 8));
        Assert.Equal(((uint)before.Gpr[4], 0u), (machine.Read32(frame + 12), machine.Read32(frame + 16)));
        Assert.Equal((before.Gpr[0], before.Gpr[3], before.Cr0, before.Gdtr, before.Idtr), (machine.State->Gpr[0], machine.State->Gpr[3], machine.State->Cr0, machine.State->Gdtr, machine.State->Idtr));
        Assert.Empty(machine.Ports);
        Assert.Equal((1ul, (vector, 0u)), (machine.Cpu.FaultCount, machine.Cpu.LastFault));
        Assert.Equal(4ul, machine.Cpu.InstructionCount); // two NOPs, the fault, HLT
        Assert.Equal((TestMachine.CodeAt + 2, HandlersAt + (vector * 16u)), machine.Cpu.LastBranches()[^1]);
    }

    /// <summary>The budget ends at the fault, before it, and within what follows; single steps say the same.</summary>
    [Theory]
    [InlineData(2, 0, 2)]
    [InlineData(3, 1, 0)]
    [InlineData(4, 1, 1)]
    public void A_run_that_ends_around_a_fault_has_retired_what_it_says(int budget, int faults, int offset)
    {
        foreach (bool single in new[] { false, true })
        {
            using var machine = Build();
            machine.Load(HandlersAt + (Vectors.GP * 16u), 0x90, 0x90, 0xF4);
            machine.Assemble(static a =>
            {
                a.nop();
                a.nop();
                a.cli();
            });
            for (int i = 0; i < (single ? budget : 1); i++)
                Assert.Equal(StopReason.Budget, machine.Cpu.Run(single ? 1 : (ulong)budget));
            Assert.Equal(((ulong)budget, (ulong)faults), (machine.Cpu.InstructionCount, machine.Cpu.FaultCount));
            Assert.Equal(faults == 0 ? (ulong)offset : HandlersAt + (Vectors.GP * 16u) + (ulong)offset, machine.State->Rip);
        }
    }

    /// <summary>A gate that is not present: #GP and #NP make a double fault, whose handler sees the instruction.</summary>
    [Fact]
    public void A_fault_in_the_delivery_escalates()
    {
        using var machine = Build();
        machine.SetGate(Vectors.GP, HandlersAt, type: 0x0E);
        machine.Assemble(static a =>
        {
            a.nop();
            a.cli();
        });
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(HandlersAt + (Vectors.DF * 16u) + 1, machine.State->Rip);
        Assert.Equal((0u, 1u), (machine.Read32(machine.State->Gpr[4]), machine.Read32(machine.State->Gpr[4] + 4)));
        Assert.Equal(3ul, machine.Cpu.InstructionCount);
    }

    /// <summary>A fault does not trap: TF waits in the pushed flags.</summary>
    [Fact]
    public void A_stepped_instruction_that_faults_brings_no_trap()
    {
        using var machine = Build();
        machine.Assemble(static a => a.cli());
        machine.State->Rflags |= Eflags.TF;
        Assert.Equal(StopReason.Halted, machine.Cpu.Run(100));
        Assert.Equal(HandlersAt + (Vectors.GP * 16u) + 1, machine.State->Rip);
        Assert.NotEqual(0u, machine.Read32(machine.State->Gpr[4] + 12) & Eflags.TF);
    }

    private static TestMachine Build()
    {
        var machine = new TestMachine();
        machine.SetUpVm86(iopl: 0);
        // The map of ports begins at the end of the TSS: none is allowed.
        machine.Write(TestMachine.TssAt + 102, (ushort)0x2067);
        for (int vector = 0; vector < 32; vector++)
        {
            ulong handler = HandlersAt + ((ulong)vector * 16);
            machine.Load(handler, 0xF4);
            machine.SetGate(vector, handler);
        }
        return machine;
    }
}
