using System.Numerics;
using System.Runtime.CompilerServices;
using Farm.Assist.Cpu;
using Iced.Intel;

namespace Farm.Assist.Instructions;

/// <summary>One iteration of a string instruction. It may fault, with nothing changed.</summary>
internal unsafe interface IStringOp
{
    /// <summary>CMPS and SCAS: a repeat ends by ZF too.</summary>
    static virtual bool Compares => false;

    static abstract void Step<TAddress>(X86Cpu cpu, Op* op)
        where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>;

    /// <summary>Does up to <paramref name="limit"/> iterations at once and moves the index registers; returns how many, 0 when it must go by steps.</summary>
    static virtual uint Bulk<TAddress>(X86Cpu cpu, Op* op, int limit)
        where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress> => 0;
}

/// <summary>
/// MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS and their repeats. An iteration counts as one instruction and is a restart point: when the
/// processor has something else to do, RIP goes back to the instruction with the registers updated (SDM vol. 2, REP).
/// </summary>
internal static unsafe class Strings
{
    /// <summary>Iterations after which a repeat looks out even if nothing is due: another thread may have kicked the processor.</summary>
    private const ulong LongestRun = 1 << 16;

    public static void Register()
    {
        Row<Movs<byte>>(Code.Movsb_m8_m8);
        Row<Movs<ushort>>(Code.Movsw_m16_m16);
        Row<Movs<uint>>(Code.Movsd_m32_m32);
        Row<Movs<ulong>>(Code.Movsq_m64_m64);
        Row<Cmps<byte>>(Code.Cmpsb_m8_m8);
        Row<Cmps<ushort>>(Code.Cmpsw_m16_m16);
        Row<Cmps<uint>>(Code.Cmpsd_m32_m32);
        Row<Cmps<ulong>>(Code.Cmpsq_m64_m64);
        Row<Stos<byte>>(Code.Stosb_m8_AL);
        Row<Stos<ushort>>(Code.Stosw_m16_AX);
        Row<Stos<uint>>(Code.Stosd_m32_EAX);
        Row<Stos<ulong>>(Code.Stosq_m64_RAX);
        Row<Lods<byte>>(Code.Lodsb_AL_m8);
        Row<Lods<ushort>>(Code.Lodsw_AX_m16);
        Row<Lods<uint>>(Code.Lodsd_EAX_m32);
        Row<Lods<ulong>>(Code.Lodsq_RAX_m64);
        Row<Scas<byte>>(Code.Scasb_AL_m8);
        Row<Scas<ushort>>(Code.Scasw_AX_m16);
        Row<Scas<uint>>(Code.Scasd_EAX_m32);
        Row<Scas<ulong>>(Code.Scasq_RAX_m64);
        Row<Ins<byte>>(Code.Insb_m8_DX);
        Row<Ins<ushort>>(Code.Insw_m16_DX);
        Row<Ins<uint>>(Code.Insd_m32_DX);
        Row<Outs<byte>>(Code.Outsb_DX_m8);
        Row<Outs<ushort>>(Code.Outsw_DX_m16);
        Row<Outs<uint>>(Code.Outsd_DX_m32);
    }

    private static void Row<TOp>(Code code)
        where TOp : struct, IStringOp => InstructionTable.Register(code, &Execute<TOp>);

    private static void Execute<TOp>(X86Cpu cpu, Op* op)
        where TOp : struct, IStringOp
    {
        if (op->AddressSize == 2)
            Execute<TOp, ushort>(cpu, op);
        else if (op->AddressSize == 4)
            Execute<TOp, uint>(cpu, op);
        else
            Execute<TOp, ulong>(cpu, op);
    }

    private static void Execute<TOp, TAddress>(X86Cpu cpu, Op* op)
        where TOp : struct, IStringOp
        where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
    {
        if ((op->Flags & (OpFlags.Repe | OpFlags.Repne)) == 0)
            TOp.Step<TAddress>(cpu, op);
        else
            Repeat<TOp, TAddress>(cpu, op);
    }

    private static void Repeat<TOp, TAddress>(X86Cpu cpu, Op* op)
        where TOp : struct, IStringOp
        where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
    {
        ulong left = ulong.CreateTruncating(cpu.Reg<TAddress>(Gpr.Cx));
        if (left == 0)
            return;
        bool whileEqual = (op->Flags & OpFlags.Repe) != 0;
        ulong allowance = Math.Min(cpu.RepAllowance, LongestRun);
        while (true)
        {
            uint done = TOp.Bulk<TAddress>(cpu, op, (int)Math.Min(left, allowance));
            if (done == 0)
            {
                TOp.Step<TAddress>(cpu, op);
                done = 1;
            }
            left -= done;
            allowance -= done;
            cpu.SetReg(Gpr.Cx, TAddress.CreateTruncating(left));
            if (left == 0 || (TOp.Compares && cpu.Zf != whileEqual))
            {
                cpu.AddInstructions(done - 1);
                return;
            }
            if (allowance == 0 || cpu.BlockEnded)
            {
                cpu.AddInstructions(done - 1);
                cpu.GiveWay();
                return;
            }
            cpu.AddInstructions(done);
        }
    }

    private static long Stride<T>(X86Cpu cpu)
        where T : unmanaged => (cpu.State->Rflags & Eflags.DF) != 0 ? -sizeof(T) : sizeof(T);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Index<TAddress>(X86Cpu cpu, int register)
        where TAddress : unmanaged, IBinaryInteger<TAddress> => ulong.CreateTruncating(cpu.Reg<TAddress>(register));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Advance<TAddress>(X86Cpu cpu, int register, long by)
        where TAddress : unmanaged, IBinaryInteger<TAddress> =>
        cpu.SetReg(register, TAddress.CreateTruncating(cpu.Reg<ulong>(register) + (ulong)by));

    /// <summary>How many elements from an offset lie in one page and do not wrap the address size, by ascending addresses.</summary>
    private static int Run<T, TAddress>(X86Cpu cpu, Seg segment, ulong offset, int limit)
        where T : unmanaged
        where TAddress : unmanaged
    {
        int room = PhysicalMemory.PageSize - (int)((cpu.Segment(segment).Base + offset) & (PhysicalMemory.PageSize - 1));
        if (sizeof(TAddress) < 8)
            room = (int)Math.Min((ulong)room, (1ul << (sizeof(TAddress) * 8)) - offset);
        return Math.Min(limit, room / sizeof(T));
    }

    private readonly struct Movs<T> : IStringOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        public static void Step<TAddress>(X86Cpu cpu, Op* op)
            where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
        {
            T value = cpu.Read<T>(op->Segment, Index<TAddress>(cpu, Gpr.Si));
            cpu.Write(Seg.Es, Index<TAddress>(cpu, Gpr.Di), value);
            long stride = Stride<T>(cpu);
            Advance<TAddress>(cpu, Gpr.Si, stride);
            Advance<TAddress>(cpu, Gpr.Di, stride);
        }

        public static uint Bulk<TAddress>(X86Cpu cpu, Op* op, int limit)
            where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
        {
            if ((cpu.State->Rflags & Eflags.DF) != 0)
                return 0;
            ulong from = Index<TAddress>(cpu, Gpr.Si), to = Index<TAddress>(cpu, Gpr.Di);
            int count = Run<T, TAddress>(cpu, Seg.Es, to, Run<T, TAddress>(cpu, op->Segment, from, limit));
            if (count < 2)
                return 0;
            int bytes = count * sizeof(T);
            byte* source = cpu.DirectRead(op->Segment, from, bytes);
            byte* destination = cpu.DirectWrite(Seg.Es, to, bytes);
            if (source == null || destination == null)
                return 0;
            if (destination <= source || destination >= source + bytes)
            {
                Buffer.MemoryCopy(source, destination, bytes, bytes);
            }
            else
            {
                // An overlap repeats the pattern between the two.
                for (int i = 0; i < count; i++)
                    Unsafe.WriteUnaligned(destination + (i * sizeof(T)), Unsafe.ReadUnaligned<T>(source + (i * sizeof(T))));
            }
            Advance<TAddress>(cpu, Gpr.Si, bytes);
            Advance<TAddress>(cpu, Gpr.Di, bytes);
            return (uint)count;
        }
    }

    private readonly struct Stos<T> : IStringOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        public static void Step<TAddress>(X86Cpu cpu, Op* op)
            where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
        {
            cpu.Write(Seg.Es, Index<TAddress>(cpu, Gpr.Di), cpu.Reg<T>(Gpr.Ax));
            Advance<TAddress>(cpu, Gpr.Di, Stride<T>(cpu));
        }

        public static uint Bulk<TAddress>(X86Cpu cpu, Op* op, int limit)
            where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
        {
            if ((cpu.State->Rflags & Eflags.DF) != 0)
                return 0;
            ulong to = Index<TAddress>(cpu, Gpr.Di);
            int count = Run<T, TAddress>(cpu, Seg.Es, to, limit);
            if (count < 2)
                return 0;
            byte* destination = cpu.DirectWrite(Seg.Es, to, count * sizeof(T));
            if (destination == null)
                return 0;
            new Span<T>(destination, count).Fill(cpu.Reg<T>(Gpr.Ax));
            Advance<TAddress>(cpu, Gpr.Di, count * sizeof(T));
            return (uint)count;
        }
    }

    private readonly struct Lods<T> : IStringOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        public static void Step<TAddress>(X86Cpu cpu, Op* op)
            where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
        {
            cpu.SetReg(Gpr.Ax, cpu.Read<T>(op->Segment, Index<TAddress>(cpu, Gpr.Si)));
            Advance<TAddress>(cpu, Gpr.Si, Stride<T>(cpu));
        }
    }

    private readonly struct Cmps<T> : IStringOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        public static bool Compares => true;

        public static void Step<TAddress>(X86Cpu cpu, Op* op)
            where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
        {
            T first = cpu.Read<T>(op->Segment, Index<TAddress>(cpu, Gpr.Si));
            T second = cpu.Read<T>(Seg.Es, Index<TAddress>(cpu, Gpr.Di));
            Alu.Sub.Apply(cpu, first, second);
            long stride = Stride<T>(cpu);
            Advance<TAddress>(cpu, Gpr.Si, stride);
            Advance<TAddress>(cpu, Gpr.Di, stride);
        }
    }

    private readonly struct Scas<T> : IStringOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        public static bool Compares => true;

        public static void Step<TAddress>(X86Cpu cpu, Op* op)
            where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
        {
            T value = cpu.Read<T>(Seg.Es, Index<TAddress>(cpu, Gpr.Di));
            Alu.Sub.Apply(cpu, cpu.Reg<T>(Gpr.Ax), value);
            Advance<TAddress>(cpu, Gpr.Di, Stride<T>(cpu));
        }
    }

    private readonly struct Ins<T> : IStringOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        // The port is read only when the store cannot fault: reading has effects.
        public static void Step<TAddress>(X86Cpu cpu, Op* op)
            where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
        {
            ushort port = cpu.Reg<ushort>(Gpr.Dx);
            cpu.CheckIo(port, sizeof(T));
            ulong to = Index<TAddress>(cpu, Gpr.Di);
            cpu.ProbeWrite(Seg.Es, to, sizeof(T));
            cpu.Write(Seg.Es, to, T.CreateTruncating(cpu.Door.ReadPort(port, sizeof(T))));
            Advance<TAddress>(cpu, Gpr.Di, Stride<T>(cpu));
        }
    }

    private readonly struct Outs<T> : IStringOp
        where T : unmanaged, IBinaryInteger<T>, IUnsignedNumber<T>
    {
        public static void Step<TAddress>(X86Cpu cpu, Op* op)
            where TAddress : unmanaged, IBinaryInteger<TAddress>, IUnsignedNumber<TAddress>
        {
            ushort port = cpu.Reg<ushort>(Gpr.Dx);
            cpu.CheckIo(port, sizeof(T));
            T value = cpu.Read<T>(op->Segment, Index<TAddress>(cpu, Gpr.Si));
            cpu.Door.WritePort(port, uint.CreateTruncating(value), sizeof(T));
            Advance<TAddress>(cpu, Gpr.Si, Stride<T>(cpu));
        }
    }
}
