using Farm.Assist.Cpu;

namespace Farm.Assist.Monitor;

/// <summary>
/// The guest-state checks that VM entry makes on segment registers, descriptor tables and RFLAGS on a processor without
/// "unrestricted guest" (SDM vol. 3C, 27.3.1.2-27.3.1.4). A protected-mode state that fails them cannot run on early VT-x:
/// the assist goes on interpreting it.
/// </summary>
/// <remarks>CR0.PG and CR0.NE are not among them: a hypervisor keeps those set for itself, whatever the guest sees.</remarks>
public static unsafe class VmxGuestState
{
    private const uint ReservedAccess = 0xF00;
    private const uint ReservedFlags = 0xFFC08028;

    /// <summary>The first rule that the state violates, in words; null when VM entry would accept it.</summary>
    public static string? Check(CpuState* state)
    {
        if ((state->Cr0 & ControlRegisters.Cr0PE) == 0)
            return "CR0.PE is 0";
        bool longMode = (state->Efer & ControlRegisters.EferLMA) != 0;
        return (state->Rflags & Eflags.VM) != 0
            ? CheckVm86(state)
            : CheckCode(state, longMode)
                ?? CheckStack(state)
                ?? CheckData("DS", state->Ds)
                ?? CheckData("ES", state->Es)
                ?? CheckData("FS", state->Fs)
                ?? CheckData("GS", state->Gs)
                ?? CheckTr(state->Tr, longMode)
                ?? CheckLdtr(state->Ldtr)
                ?? CheckTablesAndFlags(state, longMode);
    }

    private static string? CheckVm86(CpuState* state)
    {
        SegmentCache* segment = &state->Es;
        for (Seg name = Seg.Es; name <= Seg.Gs; name++, segment++)
        {
            if (segment->Base != (ulong)segment->Selector << 4)
                return $"{name}: base is not selector x 16 in virtual-8086 mode";
            if (segment->Limit != 0xFFFF)
                return $"{name}: limit is not FFFFh in virtual-8086 mode";
            if (segment->Access != 0xF3)
                return $"{name}: access rights are not F3h in virtual-8086 mode";
        }
        return CheckTr(state->Tr, false) ?? CheckLdtr(state->Ldtr);
    }

    private static string? CheckCode(CpuState* state, bool longMode)
    {
        var cs = state->Cs;
        int stackDpl = state->Ss.Dpl;
        if (cs.Unusable || !cs.IsCodeOrData || !cs.IsCode || (cs.Type & 1) == 0)
            return "CS: not an accessed code segment";
        if (cs.Conforming ? cs.Dpl > stackDpl : cs.Dpl != stackDpl)
            return "CS: DPL does not fit SS.DPL";
        if (longMode && cs.Long && cs.Big)
            return "CS: L and D are both 1";
        if (cs.Base >> 32 != 0)
            return "CS: base above 4 GiB";
        return CheckCommon("CS", cs);
    }

    private static string? CheckStack(CpuState* state)
    {
        var ss = state->Ss;
        if ((ss.Selector & 3) != (state->Cs.Selector & 3))
            return "SS: RPL differs from CS.RPL";
        if (ss.Dpl != (ss.Selector & 3))
            return "SS: DPL differs from its RPL";
        if (ss.Unusable)
            return null;
        if (ss.Type is not (3 or 7))
            return "SS: not an accessed writable data segment";
        if (ss.Base >> 32 != 0)
            return "SS: base above 4 GiB";
        return CheckCommon("SS", ss);
    }

    private static string? CheckData(string name, SegmentCache segment)
    {
        if (segment.Unusable)
            return null;
        if ((segment.Type & 1) == 0)
            return $"{name}: not accessed";
        if ((segment.Type & 8) != 0 && (segment.Type & 2) == 0)
            return $"{name}: execute-only code";
        if (segment.Type < 12 && segment.Dpl < (segment.Selector & 3))
            return $"{name}: RPL above DPL";
        if (name is "DS" or "ES" && segment.Base >> 32 != 0)
            return $"{name}: base above 4 GiB";
        return CheckCommon(name, segment);
    }

    private static string? CheckCommon(string name, SegmentCache segment)
    {
        if (!segment.IsCodeOrData)
            return $"{name}: a system descriptor";
        return CheckPresence(name, segment);
    }

    private static string? CheckPresence(string name, SegmentCache segment)
    {
        if (!segment.Present)
            return $"{name}: not present";
        if ((segment.Access & ReservedAccess) != 0)
            return $"{name}: reserved access rights bits";
        if ((segment.Limit & 0xFFF) != 0xFFF && segment.Granular)
            return $"{name}: G is 1 but the limit's low bits are not";
        if (segment.Limit >> 20 != 0 && !segment.Granular)
            return $"{name}: limit of {segment.Limit:X}h with G = 0";
        return null;
    }

    private static string? CheckTr(SegmentCache tr, bool longMode)
    {
        if (tr.Unusable)
            return "TR: unusable";
        if ((tr.Selector & 4) != 0)
            return "TR: selector in the LDT";
        if (tr.IsCodeOrData || !(tr.Type == 11 || (tr.Type == 3 && !longMode)))
            return "TR: not a busy TSS";
        return CheckPresence("TR", tr);
    }

    private static string? CheckLdtr(SegmentCache ldtr)
    {
        if (ldtr.Unusable)
            return null;
        if ((ldtr.Selector & 4) != 0)
            return "LDTR: selector in the LDT";
        if (ldtr.IsCodeOrData || ldtr.Type != 2)
            return "LDTR: not an LDT";
        return CheckPresence("LDTR", ldtr);
    }

    private static string? CheckTablesAndFlags(CpuState* state, bool longMode)
    {
        if (state->Gdtr.Limit > 0xFFFF || state->Idtr.Limit > 0xFFFF)
            return "GDTR or IDTR: limit above FFFFh";
        if ((state->Rflags & ReservedFlags) != 0 || (state->Rflags & 2) == 0)
            return "RFLAGS: reserved bits";
        if (longMode ? state->Cs.Long is false && state->Rip >> 32 != 0 : state->Rip >> 32 != 0)
            return "RIP: above 4 GiB outside 64-bit mode";
        return null;
    }
}
