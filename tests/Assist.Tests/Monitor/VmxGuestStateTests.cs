using Farm.Assist.Cpu;
using Farm.Assist.Monitor;

namespace Farm.Assist.Tests.Monitor;

public sealed unsafe class VmxGuestStateTests
{
    private delegate void Change(ref CpuState state);

    private static CpuState Flat()
    {
        var state = new CpuState { Cr0 = ControlRegisters.Cr0PE, Rflags = 2 };
        state.Cs = new SegmentCache { Selector = 8, Limit = 0xFFFFFFFF, Access = 0xC09B };
        state.Ss = state.Ds = state.Es = state.Fs = state.Gs = new SegmentCache { Selector = 0x10, Limit = 0xFFFFFFFF, Access = 0xC093 };
        state.Ldtr = new SegmentCache { Access = 0x10000 };
        state.Tr = new SegmentCache { Limit = 0xFFFF, Access = 0x8B };
        return state;
    }

    private static string? Check(Change change)
    {
        var state = Flat();
        change(ref state);
        return VmxGuestState.Check(&state);
    }

    [Fact]
    public void A_flat_protected_mode_state_is_accepted() => Assert.Null(Check((ref CpuState _) => { }));

    [Fact]
    public void Real_mode_segments_with_clear_rpl_bits_are_accepted_right_after_PE_is_set()
    {
        Assert.Null(Check((ref CpuState s) =>
        {
            s.Cs = SegmentCache.RealMode(0x9020, code: true);
            s.Ss = SegmentCache.RealMode(0x9000);
            s.Ds = s.Es = s.Fs = s.Gs = SegmentCache.RealMode(0x40);
        }));
    }

    [Fact]
    public void Null_data_segments_are_accepted()
    {
        Assert.Null(Check((ref CpuState s) => s.Ds = s.Es = s.Fs = s.Gs = new SegmentCache { Access = 0x10000 }));
    }

    public static TheoryData<string, string> Violations => new()
    {
        { "pe", "CR0.PE" },
        { "ss-rpl", "SS: RPL differs" },
        { "cs-data", "CS: not an accessed code" },
        { "cs-dpl", "CS: DPL" },
        { "ds-rpl", "DS: RPL above DPL" },
        { "unreal", "G = 0" },
        { "gran", "low bits" },
        { "tr-null", "TR: unusable" },
        { "tr-available", "TR: not a busy" },
        { "ldt", "LDTR: not an LDT" },
        { "not-present", "ES: not present" },
        { "rip", "RIP" },
        { "flags", "RFLAGS" },
    };

    [Theory]
    [MemberData(nameof(Violations))]
    public void A_violation_is_named(string change, string rule)
    {
        string? violation = Check((ref CpuState s) =>
        {
            switch (change)
            {
                case "pe": s.Cr0 = 0; break;
                case "ss-rpl": s.Ss.Selector |= 3; break;
                case "cs-data": s.Cs.Access = 0xC093; break;
                case "cs-dpl": s.Cs.Access = 0xC0FB; break;
                case "ds-rpl": s.Ds.Selector |= 3; break;
                case "unreal": s.Fs.Access = 0x93; break;
                case "gran": s.Gs.Limit = 0xFFFFF000; break;
                case "tr-null": s.Tr.Access = 0x10000; break;
                case "tr-available": s.Tr.Access = 0x89; break;
                case "ldt": s.Ldtr.Access = 0x8B; break;
                case "not-present": s.Es.Access = 0xC013; break;
                case "rip": s.Rip = 1ul << 32; break;
                default: s.Rflags |= 8; break;
            }
        });

        Assert.NotNull(violation);
        Assert.Contains(rule, violation);
    }

    [Theory]
    [InlineData(0xFFFFu, 0xF3u, true)]
    [InlineData(0xFFFFFu, 0xF3u, false)]
    [InlineData(0xFFFFu, 0x93u, false)]
    public void Virtual_8086_mode_needs_plain_segments(uint limit, uint access, bool valid)
    {
        string? violation = Check((ref CpuState s) =>
        {
            s.Rflags |= Eflags.VM;
            s.Cs = s.Ss = s.Ds = s.Fs = s.Gs = SegmentCache.RealMode(0x1000, dpl: 3);
            s.Cs.Access = 0xF3;
            s.Es = new SegmentCache { Selector = 5, Base = 0x50, Limit = limit, Access = access };
        });

        Assert.Equal(valid, violation is null);
    }
}
