using System.Runtime.InteropServices;
using Farm.Assist.Cpu;
using Farm.Machine.Hypervisors.Whp.Native;

namespace Farm.Machine.Hypervisors.Whp;

/// <summary>
/// The registers of a processor as values by name, and the way from <see cref="CpuState"/> to them and back. Those that
/// changed since they were fetched are written; the time-stamp counter is not. CR8 is not among them: it is the local APIC's.
/// </summary>
internal sealed unsafe class WhpRegisters : IDisposable
{
    private static readonly WhvRegister[] Names =
    [
        .. Run(WhvRegister.Rax, WhvRegister.R15), WhvRegister.Rip, WhvRegister.Rflags,
        WhvRegister.Es, WhvRegister.Cs, WhvRegister.Ss, WhvRegister.Ds, WhvRegister.Fs, WhvRegister.Gs, WhvRegister.Ldtr, WhvRegister.Tr,
        WhvRegister.Gdtr, WhvRegister.Idtr,
        WhvRegister.Cr0, WhvRegister.Cr2, WhvRegister.Cr3, WhvRegister.Cr4,
        .. Run(WhvRegister.Dr0, WhvRegister.Dr3), WhvRegister.Dr6, WhvRegister.Dr7,
        WhvRegister.Efer, WhvRegister.Star, WhvRegister.Lstar, WhvRegister.Cstar, WhvRegister.Sfmask, WhvRegister.KernelGsBase,
        WhvRegister.SysenterCs, WhvRegister.SysenterEsp, WhvRegister.SysenterEip, WhvRegister.ApicBase, WhvRegister.Pat,
        .. Run(WhvRegister.FpMmx0, WhvRegister.FpMmx7), WhvRegister.FpControlStatus, WhvRegister.XmmControlStatus,
        .. Run(WhvRegister.Xmm0, WhvRegister.Xmm15),
        WhvRegister.InterruptState, WhvRegister.Tsc,
    ];

    private static readonly int Count = Names.Length;

    /// <summary>As the platform gave them. WHV_REGISTER_VALUE is aligned to 16 bytes.</summary>
    private readonly WhvRegisterValue* _given = Allocate();

    /// <summary>The same as they come back from a state that nobody changed: reserved bits do not count as changes.</summary>
    private readonly WhvRegisterValue* _known = Allocate();
    private readonly WhvRegisterValue* _wanted = Allocate();
    private readonly WhvRegisterValue* _queued = Allocate();
    private readonly WhvRegister[] _queuedNames = new WhvRegister[Names.Length + 8];

    private readonly WhpApi _api;
    private readonly nint _partition;
    private readonly uint _index;
    private int _queuedCount;

    public WhpRegisters(WhpApi api, nint partition, uint index)
    {
        _api = api;
        _partition = partition;
        _index = index;
    }

    /// <summary>Reads all registers into <paramref name="state"/>, what is queued first.</summary>
    public void Fetch(CpuState* state)
    {
        Flush();
        fixed (WhvRegister* names = Names)
            WhpApi.Check(_api.GetVirtualProcessorRegisters(_partition, _index, names, (uint)Count, _given), "WHvGetVirtualProcessorRegisters");
        new Reader(_given).Read(state);
        new Writer(_known, MxcsrMask).Write(state);
    }

    public WhvRegisterValue Get(WhvRegister name)
    {
        Flush();
        *_wanted = default;
        WhpApi.Check(_api.GetVirtualProcessorRegisters(_partition, _index, &name, 1, _wanted), $"WHvGetVirtualProcessorRegisters({name})");
        return *_wanted;
    }

    /// <summary>Queues what differs from the values last fetched or stored; true when something does.</summary>
    public bool Store(CpuState* state)
    {
        new Writer(_wanted, MxcsrMask).Write(state);
        bool any = false;
        // The last one, the time-stamp counter, goes on with the host's.
        for (int i = 0; i < Count - 1; i++)
        {
            if (_wanted[i].Reg128 == _known[i].Reg128)
                continue;
            _known[i] = _wanted[i];
            Queue(Names[i], _wanted[i]);
            any = true;
        }
        return any;
    }

    /// <summary>Sets the register before the processor runs again, or is looked at.</summary>
    public void Queue(WhvRegister name, WhvRegisterValue value)
    {
        _queuedNames[_queuedCount] = name;
        _queued[_queuedCount++] = value;
    }

    public void Queue(WhvRegister name, ulong value) => Queue(name, new WhvRegisterValue { Reg64 = value });

    /// <summary>One call for all that is queued.</summary>
    public void Flush()
    {
        if (_queuedCount == 0)
            return;
        fixed (WhvRegister* names = _queuedNames)
        {
            int result = _api.SetVirtualProcessorRegisters(_partition, _index, names, (uint)_queuedCount, _queued);
            string what = _queuedCount == 1 ? $"({names[0]})" : $" of {_queuedCount} registers";
            _queuedCount = 0;
            WhpApi.Check(result, $"WHvSetVirtualProcessorRegisters{what}");
        }
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_given);
        NativeMemory.AlignedFree(_known);
        NativeMemory.AlignedFree(_wanted);
        NativeMemory.AlignedFree(_queued);
    }

    private uint MxcsrMask => _given[Array.IndexOf(Names, WhvRegister.XmmControlStatus)].XmmControlStatus.XmmStatusControlMask;

    private static IEnumerable<WhvRegister> Run(WhvRegister first, WhvRegister last) =>
        Enumerable.Range((int)first, last - first + 1).Select(name => (WhvRegister)name);

    private static WhvRegisterValue* Allocate()
    {
        nuint size = (nuint)((Names.Length + 8) * sizeof(WhvRegisterValue));
        var block = (WhvRegisterValue*)NativeMemory.AlignedAlloc(size, 16);
        NativeMemory.Clear(block, size);
        return block;
    }

    /// <summary>Takes the values in the order of <see cref="Names"/>.</summary>
    private ref struct Reader(WhvRegisterValue* value)
    {
        private WhvRegisterValue* _value = value;

        public void Read(CpuState* state)
        {
            *state = default;
            for (int i = 0; i < 16; i++)
                state->Gpr[i] = Next();
            state->Rip = Next();
            state->Rflags = Next();
            for (SegmentCache* segment = &state->Es; segment <= &state->Tr; segment++)
                *segment = FromPlatform((_value++)->Segment);
            state->Gdtr = Table();
            state->Idtr = Table();
            (state->Cr0, state->Cr2, state->Cr3, state->Cr4) = (Next(), Next(), Next(), Next());
            for (int i = 0; i < 4; i++)
                state->Dr[i] = Next();
            (state->Dr[6], state->Dr[7]) = (Next(), Next());
            (state->Efer, state->Star, state->Lstar, state->Cstar, state->Fmask, state->KernelGsBase) = (Next(), Next(), Next(), Next(), Next(), Next());
            (state->SysenterCs, state->SysenterEsp, state->SysenterEip, state->ApicBase, state->Pat) = (Next(), Next(), Next(), Next(), Next());
            ReadFpu(state);
            for (int i = 0; i < 16; i++, _value++)
                (state->Xmm[2 * i], state->Xmm[(2 * i) + 1]) = ((ulong)_value->Reg128, (ulong)(_value->Reg128 >> 64));
            ulong interrupt = Next();
            state->Shadow = (interrupt & WhvBits.InterruptStateShadow) != 0 ? InterruptShadow.Sti : InterruptShadow.None;
            state->NmiBlocked = (interrupt & WhvBits.InterruptStateNmiMasked) != 0 ? (byte)1 : (byte)0;
            state->TscOffset = Next();
        }

        /// <summary>The data registers come in stack order, as in FXSAVE's image; the tag is FXSAVE's too, by physical register.</summary>
        private void ReadFpu(CpuState* state)
        {
            WhvRegisterValue* data = _value;
            _value += 8;
            var control = (_value++)->FpControlStatus;
            var sse = (_value++)->XmmControlStatus;
            int top = (control.FpStatus >> 11) & 7;
            int tags = 0;
            for (int i = 0; i < 8; i++)
            {
                int physical = (top + i) & 7;
                state->Fpr[physical * 2] = (ulong)data[i].Reg128;
                state->Fpr[(physical * 2) + 1] = (ushort)(data[i].Reg128 >> 64);
                if (((control.FpTag >> i) & 1) == 0)
                    tags |= 3 << (i * 2);
            }
            state->FpuControl = control.FpControl;
            state->FpuStatus = control.FpStatus;
            state->FpuTag = (ushort)tags;
            state->FpuOpcode = control.LastFpOp;
            bool longMode = (state->Efer & ControlRegisters.EferLMA) != 0;
            state->FpuIp = longMode ? control.LastFpRip : (uint)control.LastFpRip;
            state->FpuCs = longMode ? (ushort)0 : (ushort)(control.LastFpRip >> 32);
            state->FpuDp = longMode ? sse.LastFpRdp : (uint)sse.LastFpRdp;
            state->FpuDs = longMode ? (ushort)0 : (ushort)(sse.LastFpRdp >> 32);
            state->Mxcsr = sse.XmmStatusControl;
        }

        private ulong Next() => (_value++)->Reg64;

        private DescriptorTable Table()
        {
            var table = (_value++)->Table;
            return new DescriptorTable { Base = table.Base, Limit = table.Limit };
        }

        /// <summary>The platform has no "unusable": it shows such a segment as not present, and no other can be in a register.</summary>
        private static SegmentCache FromPlatform(in WhvX64SegmentRegister segment) => new()
        {
            Base = segment.Base,
            Limit = segment.Limit,
            Selector = segment.Selector,
            Access = (uint)(segment.Attributes & 0xF0FF) | ((segment.Attributes & 0x80) == 0 ? UnusableAccess : 0),
        };
    }

    private const uint UnusableAccess = 1 << 16;

    /// <summary>Gives the values in the order of <see cref="Names"/>.</summary>
    private ref struct Writer(WhvRegisterValue* value, uint mxcsrMask)
    {
        private WhvRegisterValue* _value = value;

        public void Write(CpuState* state)
        {
            for (int i = 0; i < 16; i++)
                Put(state->Gpr[i]);
            Put(state->Rip);
            Put(state->Rflags);
            for (SegmentCache* segment = &state->Es; segment <= &state->Tr; segment++)
                *_value++ = new WhvRegisterValue { Segment = ToPlatform(*segment) };
            Put(state->Gdtr);
            Put(state->Idtr);
            Put(state->Cr0, state->Cr2, state->Cr3, state->Cr4);
            Put(state->Dr[0], state->Dr[1], state->Dr[2], state->Dr[3], state->Dr[6], state->Dr[7]);
            Put(state->Efer, state->Star, state->Lstar, state->Cstar, state->Fmask, state->KernelGsBase);
            Put(state->SysenterCs, state->SysenterEsp, state->SysenterEip, state->ApicBase, state->Pat);
            WriteFpu(state);
            for (int i = 0; i < 16; i++)
                *_value++ = new WhvRegisterValue { Reg128 = new UInt128(state->Xmm[(2 * i) + 1], state->Xmm[2 * i]) };
            Put((state->Shadow != InterruptShadow.None ? WhvBits.InterruptStateShadow : 0) | (state->NmiBlocked != 0 ? WhvBits.InterruptStateNmiMasked : 0));
        }

        private void WriteFpu(CpuState* state)
        {
            int top = (state->FpuStatus >> 11) & 7;
            int tag = 0;
            for (int i = 0; i < 8; i++)
            {
                int physical = (top + i) & 7;
                *_value++ = new WhvRegisterValue { Reg128 = new UInt128((ushort)state->Fpr[(physical * 2) + 1], state->Fpr[physical * 2]) };
                if (((state->FpuTag >> (i * 2)) & 3) != 3)
                    tag |= 1 << i;
            }
            bool longMode = (state->Efer & ControlRegisters.EferLMA) != 0;
            *_value++ = new WhvRegisterValue
            {
                FpControlStatus = new WhvX64FpControlStatusRegister
                {
                    FpControl = state->FpuControl,
                    FpStatus = state->FpuStatus,
                    FpTag = (byte)tag,
                    LastFpOp = state->FpuOpcode,
                    LastFpRip = longMode ? state->FpuIp : (uint)state->FpuIp | ((ulong)state->FpuCs << 32),
                },
            };
            *_value++ = new WhvRegisterValue
            {
                XmmControlStatus = new WhvX64XmmControlStatusRegister
                {
                    LastFpRdp = longMode ? state->FpuDp : (uint)state->FpuDp | ((ulong)state->FpuDs << 32),
                    XmmStatusControl = state->Mxcsr,
                    XmmStatusControlMask = mxcsrMask,
                },
            };
        }

        private void Put(params ReadOnlySpan<ulong> values)
        {
            foreach (ulong each in values)
                *_value++ = new WhvRegisterValue { Reg64 = each };
        }

        private void Put(in DescriptorTable table) =>
            *_value++ = new WhvRegisterValue { Table = new WhvX64TableRegister { Base = table.Base, Limit = (ushort)table.Limit } };

        private static WhvX64SegmentRegister ToPlatform(in SegmentCache cache) => new()
        {
            Base = cache.Base,
            Limit = cache.Limit,
            Selector = cache.Selector,
            Attributes = (ushort)(cache.Unusable ? cache.Access & 0xF07F : cache.Access & 0xF0FF),
        };
    }
}
