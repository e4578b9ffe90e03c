using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iced.Intel;

namespace Farm.Assist.Cpu;

// From RIP to a block of ops: the jump cache by linear address, the decode cache by physical address, Iced behind it.
public sealed unsafe partial class X86Cpu
{
    private const int JumpCacheSize = 4096;
    private const int MaxInstructionLength = 15;

    // Hint NOPs of the P6 are NOPs, not CET or MPX; F3 before BSF, BSR and WBINVD is ignored as on every model here.
    private const DecoderOptions Options = DecoderOptions.ForceReservedNop | DecoderOptions.NoMPFX_0FBC | DecoderOptions.NoMPFX_0FBD | DecoderOptions.NoWbnoinvd;

    [StructLayout(LayoutKind.Sequential)]
    private struct Jump
    {
        /// <summary>Low 48 bits of the linear address, and the context: code size, privilege, generation.</summary>
        public ulong Key;
        public Block* Block;
    }

    private readonly Jump* _jumps = (Jump*)NativeMemory.AllocZeroed(JumpCacheSize, (nuint)sizeof(Jump));
    private readonly DecodeCache _code;
    private readonly ByteReader _reader = new();
    private readonly Decoder[] _decoders;
    private readonly bool[] _known;

    /// <summary>A block of one op whose bytes no page holds (fetched through the door).</summary>
    private readonly Block* _uncached = (Block*)NativeMemory.AllocZeroed((nuint)(sizeof(Block) + sizeof(Op)));

    /// <summary>Upper bits of jump-cache keys; see <see cref="SelectContext"/>.</summary>
    private ulong _context;
    private ulong _generation = 1;

    /// <summary>Forgets which block a linear address leads to.</summary>
    private void ForgetJumps()
    {
        _jumpsOutdated = false;
        if (++_generation == 256)
        {
            _generation = 1;
            NativeMemory.Clear(_jumps, JumpCacheSize * (nuint)sizeof(Jump));
        }
        SelectContext();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Jump* JumpAt(ulong linear) => _jumps + (int)((linear ^ (linear >> 12)) & (JumpCacheSize - 1));

    /// <summary>The block at a linear address, decoded if need be. Raises what a fetch there raises.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private Block* Lookup(ulong linear, ulong rip)
    {
        if (rip >= _codeEnd)
            throw Fault(Vectors.GP, 0);
        ulong physical = TranslateCode(linear);
        if ((Memory.KindAt(physical) & PageKind.Readable) == 0)
            return DecodeUncached(linear, rip, physical);

        ulong key = physical | ((ulong)_codeBits << 48);
        Block* block = _code.Find(key);
        if (block != null && block->Epoch != _codeEpoch && block->Count != 0 && !_code.Stands(block))
        {
            _code.Remove(block);
            block = null;
        }
        if (block == null || (block->Count == 0 && !_code.Restore(block)))
            block = Decode(linear, rip, key);
        else if (block->TailPage != Block.NoPage && rip + block->Bytes <= _codeEnd && !TailStands(block, linear))
        {
            _code.Remove(block);
            block = Decode(linear, rip, key);
        }
        block->Epoch = _codeEpoch;

        // What crosses a page is looked up each time: the second page may have moved.
        if (block->TailPage == Block.NoPage)
        {
            Jump* jump = JumpAt(linear);
            jump->Key = (linear & Block.AddressMask) | _context;
            jump->Block = block;
        }
        return block;
    }

    /// <summary>The second page is still the one that was decoded, and one whose changes are noticed.</summary>
    private bool TailStands(Block* block, ulong linear) =>
        TranslateCode(NextPage(linear)) == block->TailPage && (Memory.KindAt(block->TailPage) & PageKind.Readable) != 0;

    private ulong NextPage(ulong linear) => WrapLinear((linear & PageMask) + PhysicalMemory.PageSize);

    private ulong TranslateCode(ulong linear)
    {
        ulong page = linear & PageMask;
        bool user = _cpl == 3;
        CodeTlbEntry* entry = _codeTlbs + (user ? CodeTlbSize : 0) + (int)((linear >> 12) & (CodeTlbSize - 1));
        if (entry->Tag != page)
        {
            Walked walked = Walk(linear, AccessFetch | (user ? AccessUser : 0));
            if (entry->Tag == NoTag)
                _codeFilled.Add((ushort)(entry - _codeTlbs));
            entry->Tag = page;
            entry->Page = walked.Page | (walked.Global ? 1u : 0);
        }
        return (entry->Page & PageMask) | (linear & ~PageMask);
    }

    private Block* Decode(ulong linear, ulong rip, ulong key)
    {
        Block* block = _code.Reserve();
        if (block == null)
        {
            _code.Clear();
            ForgetJumps();
            block = _code.Reserve();
        }
        block->Key = key;
        block->TailPage = Block.NoPage;
        block->Count = 0;
        Op* op = Block.Ops(block);
        byte* code = Memory.HostAt(key & Block.AddressMask);
        int room = PhysicalMemory.PageSize - (int)(linear & ~PageMask);
        int offset = 0;
        int count = 0;
        while (count < DecodeCache.MaxOps && offset < room)
        {
            if (!DecodeOne(new ReadOnlySpan<byte>(code + offset, Math.Min(room - offset, MaxInstructionLength)), op))
            {
                if (count == 0)
                    offset = DecodeAcross(block, linear, rip, room, op);
                else
                    break;
            }
            else
            {
                offset += op->Length;
            }
            op->Next = (ushort)offset;
            count++;
            if ((op->Flags & OpFlags.EndsBlock) != 0)
                break;
            op++;
        }
        block->Count = (ushort)count;
        block->Bytes = (ushort)offset;
        _code.Add(block);
        return block;
    }

    /// <summary>Decodes an instruction whose end is not in its first page; returns its length.</summary>
    private int DecodeAcross(Block* block, ulong linear, ulong rip, int room, Op* op)
    {
        if (rip + (ulong)room >= _codeEnd)
            throw Fault(Vectors.GP, 0);
        ulong tail = TranslateCode(NextPage(linear));
        Span<byte> bytes = stackalloc byte[MaxInstructionLength];
        FetchPhysical(bytes[..room], block->Key & Block.AddressMask);
        FetchPhysical(bytes[room..], tail);
        DecodeOne(bytes, op);
        op->Flags |= OpFlags.EndsBlock;
        block->TailPage = tail;
        return op->Length;
    }

    /// <summary>Code in MMIO: decoded anew each time.</summary>
    private Block* DecodeUncached(ulong linear, ulong rip, ulong physical)
    {
        Block* block = _uncached;
        Op* op = Block.Ops(block);
        Span<byte> bytes = stackalloc byte[MaxInstructionLength];
        int room = Math.Min(PhysicalMemory.PageSize - (int)(linear & ~PageMask), MaxInstructionLength);
        FetchPhysical(bytes[..room], physical);
        if (!DecodeOne(bytes[..room], op))
        {
            if (rip + (ulong)room >= _codeEnd)
                throw Fault(Vectors.GP, 0);
            FetchPhysical(bytes[room..], TranslateCode(NextPage(linear)));
            DecodeOne(bytes, op);
        }
        op->Flags |= OpFlags.EndsBlock;
        op->Next = op->Length;
        block->TailPage = Block.NoPage - 1;
        block->Count = 1;
        block->Bytes = op->Length;
        return block;
    }

    private void FetchPhysical(Span<byte> destination, ulong address)
    {
        for (int i = 0; i < destination.Length; i++)
            destination[i] = ReadPhysical<byte>(address + (ulong)i);
    }

    /// <summary>False when the bytes end before the instruction does.</summary>
    private bool DecodeOne(ReadOnlySpan<byte> bytes, Op* op)
    {
        Decoder decoder = _decoders[_codeBits >> 5];
        _reader.Set(bytes);
        decoder.IP = 0;
        decoder.Decode(out Instruction instruction);
        if (decoder.LastError == DecoderError.NoMoreBytes && bytes.Length < MaxInstructionLength)
            return false;
        OpBuilder.Build(instruction, bytes, _codeBits, op);
        op->Handler = PickHandler(instruction);
        return true;
    }

    private delegate*<X86Cpu, Op*, void> PickHandler(in Instruction instruction)
    {
        Code code = instruction.Code;
        if (code == Code.INVALID)
            return instruction.Length >= MaxInstructionLength ? &TooLong : &Undefined;
        if (!_known[(int)code])
            return &Undefined;
        if (Refuses?.Invoke(code) == true)
            return &Unimplemented;
        delegate*<X86Cpu, Op*, void> handler = InstructionTable.Find(code, OpBuilder.HasMemoryForm(instruction));
        return handler != null ? handler : &Unimplemented;
    }

    private static void Undefined(X86Cpu cpu, Op* op) => cpu.Raise(Vectors.UD);

    private static void TooLong(X86Cpu cpu, Op* op) => cpu.Raise(Vectors.GP, 0);

    private static void Unimplemented(X86Cpu cpu, Op* op) => cpu.Unsupported(op);

    private void OnCodeWritten(ulong address, int length)
    {
        if (_code.Invalidate(address, length))
            EndBlock();
    }

    /// <summary>Pages came to hold code or to be watched: stores to them must be seen from now on.</summary>
    private void OnStoresWanted(ulong first, ulong last)
    {
        foreach (ushort slot in _filled.Slots(2 * TlbSize))
        {
            if ((_tlbs[slot].Page >> 12) - first <= last - first && _tlbs[slot].WriteTag != NoTag)
                _tlbs[slot].WriteTag |= TagIndirect;
        }
    }

    private void OnMapChanged()
    {
        _code.Remapped();
        FlushTlb();
        EndBlock();
    }

    /// <summary>The bytes of one instruction for Iced's decoder.</summary>
    private sealed class ByteReader : CodeReader
    {
        private readonly byte[] _bytes = new byte[MaxInstructionLength];
        private int _length, _position;

        public void Set(ReadOnlySpan<byte> bytes)
        {
            bytes.CopyTo(_bytes);
            _length = bytes.Length;
            _position = 0;
        }

        public override int ReadByte() => _position < _length ? _bytes[_position++] : -1;
    }
}
