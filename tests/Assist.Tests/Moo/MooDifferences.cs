using Iced.Intel;

namespace Farm.Assist.Tests.Moo;

/// <summary>
/// Where an 80286, from which the tests were captured, and the processors that we model are documented to differ in real mode. Each
/// member is one difference, with its source; a test is adapted or left out by these rules only.
/// </summary>
public static class MooDifferences
{
    public const byte Lock = 0xF0;

    /// <summary>
    /// FLAGS bits 12-15. The 80286 holds IOPL and NT at 0 in real mode; later processors load them (Intel AP-485, which tells the two
    /// apart by that; 80386 PRM, 14.7, on flags in the stack). They are not compared.
    /// </summary>
    public const ushort ComparedFlags = 0x0FFF;

    /// <summary>
    /// The 80286 raises exception 13 for an instruction of more than 10 bytes, later processors for more than 15 (80386 PRM, 14.7,
    /// on redundant prefixes). Left out.
    /// </summary>
    public static bool IsTooLongFor286(MooTest test) => Length(test) > 10;

    /// <summary>FS and GS do not exist on the 80286: their encodings in MOV raise #UD (80386 PRM, 14.7, on undefined opcodes). Left out.</summary>
    public static bool UsesLaterSegment(in Instruction instruction)
    {
        for (int operand = 0; operand < instruction.OpCount; operand++)
        {
            if (instruction.GetOpKind(operand) == OpKind.Register && instruction.GetOpRegister(operand) is Register.FS or Register.GS)
                return true;
        }
        return false;
    }

    /// <summary>
    /// A string instruction that faults. The 80286 leaves SI, DI and CX advanced by what it had prefetched (as captured); later processors
    /// fault with the state before the iteration (SDM vol. 3, 6.5 "faults"). They must be unchanged without REP and are not compared with it.
    /// </summary>
    public static bool LeavesIndexesAdvanced(MooTest test, in Instruction instruction) => test.Exception != null && instruction.IsStringInstruction;

    /// <summary>
    /// IP is 16 bits wide on the 80286; HLT at FFFFh leaves EIP at 10000h on later processors, where the next fetch would fault (SDM vol. 3,
    /// 20.1.4). The low half is compared.
    /// </summary>
    public const ushort ComparedIp = 0xFFFF;

    /// <summary>
    /// A word that crosses offset FFFFh of the stack segment: exception 13 on the 80286 (as captured), 12 on later processors (80386
    /// PRM, 14.7, on operands that cross offset 65,535; SDM vol. 2, real-address mode exceptions of every instruction). The vectors are
    /// exchanged.
    /// </summary>
    public static bool RaisesStackFault(MooTest test, in Instruction instruction) =>
        test.Exception is { Vector: 13 } && new InstructionInfoFactory().GetInfo(instruction).GetUsedMemory().All(static memory => memory.Segment == Register.SS);

    /// <summary>
    /// LOCK is a valid prefix of every instruction on the 80286; later processors raise #UD except with memory destinations of a few (80386
    /// PRM, 14.8.1). Such a prefix is replaced by one that changes nothing: a segment override that is there already, or that names the
    /// default segment.
    /// </summary>
    public static byte? ReplacesLock(MooTest test)
    {
        ReadOnlySpan<byte> prefixes = Prefixes(test.Bytes);
        if (!prefixes.Contains(Lock) || Decode(test.Bytes).Code != Code.INVALID)
            return null;
        int last = prefixes.LastIndexOfAny([(byte)0x26, (byte)0x2E, (byte)0x36, (byte)0x3E]);
        if (last >= 0)
            return prefixes[last];
        return Decode(test).MemorySegment switch
        {
            Register.ES => 0x26,
            Register.CS => 0x2E,
            Register.SS => 0x36,
            _ => 0x3E,
        };
    }

    /// <summary>The instruction of a test, as the 80286 understands it: LOCK does not make it invalid.</summary>
    public static Instruction Decode(MooTest test)
    {
        int prefixes = Prefixes(test.Bytes).Length;
        return Decode([.. test.Bytes.Where((value, index) => index >= prefixes || value != Lock)]);
    }

    /// <summary>The prefixes that the 80286 knows.</summary>
    public static ReadOnlySpan<byte> Prefixes(byte[] bytes)
    {
        int end = bytes.AsSpan().IndexOfAnyExcept([(byte)0x26, (byte)0x2E, (byte)0x36, (byte)0x3E, Lock, (byte)0xF2, (byte)0xF3]);
        return bytes.AsSpan(0, end);
    }

    /// <summary>Length of the instruction without the HLT behind it.</summary>
    public static int Length(MooTest test) => test.Bytes.Length - 1;

    private static Instruction Decode(byte[] bytes)
    {
        Decoder decoder = Decoder.Create(16, bytes);
        return decoder.Decode();
    }
}
