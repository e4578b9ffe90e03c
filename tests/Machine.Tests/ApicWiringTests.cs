using Farm.Assist.Monitor;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Soft;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests;

/// <summary>A boot sector in protected mode uses the local APIC, its timer and the IOAPIC of a whole machine and reports through port E9h.</summary>
public sealed class ApicWiringTests : IDisposable
{
    private const byte Marker = 0xA5;
    private const int Entry32 = 0x7C30, Handlers = 0x7DA0, Pointers = 0x7DD0, Idt = 0x1000, Seen = 0x6000;
    private const uint LocalApic = 0xFEE00000, IoApic = 0xFEC00000;
    private readonly string _floppy = Path.Combine(Path.GetTempPath(), $"farm-apic-{Guid.NewGuid():N}.img");

    public void Dispose() => File.Delete(_floppy);

    [Theory]
    [InlineData(AssistStrength.Vm86)]
    [InlineData(AssistStrength.Native)]
    public void Timer_wakes_a_halted_processor_and_the_IOAPIC_brings_the_8254(AssistStrength strength)
    {
        byte[] sent = Run("p3", strength, UseApics, out var machine);
        Assert.Equal(1, sent[0]); // CPUID leaf 1 EDX bit 9
        Assert.Equal(0xFEE00900u, BitConverter.ToUInt32(sent, 1));
        Assert.Equal(0x00050014u, BitConverter.ToUInt32(sent, 5));
        Assert.Equal(1, sent[9]); // timer interrupts
        Assert.Equal(3, sent[10]); // 8254 through the IOAPIC
        Assert.Equal(0, sent[11]); // CPUID bit 9 after the disable
        Assert.Equal(uint.MaxValue, BitConverter.ToUInt32(sent, 12));
        var counts = machine.InterruptCounts();
        Assert.Equal(1ul, counts["apic40"]);
        Assert.Equal(3ul, counts["apic41"]);
        Assert.True(machine.Time.Now > 20_000_000_000 && machine.Instructions < 100_000_000, $"{machine.Time.Now} ns, {machine.Instructions} instructions");
    }

    [Fact]
    public void Pentium_has_no_APIC_and_nothing_at_its_addresses()
    {
        byte[] sent = Run("pentium", AssistStrength.Native, a =>
        {
            SendCpuidBit(a);
            Send(a, LocalApic + 0x30);
            Send(a, IoApic + 0x10);
        }, out _);
        Assert.Equal(0, sent[0]);
        Assert.Equal(uint.MaxValue, BitConverter.ToUInt32(sent, 1));
        Assert.Equal(uint.MaxValue, BitConverter.ToUInt32(sent, 5));
    }

    private byte[] Run(string model, AssistStrength strength, Action<Assembler> body, out PcMachine machine)
    {
        File.WriteAllBytes(_floppy, Image(body));
        machine = TestMachine.Build(new MachineOptions { CpuModel = model, Floppies = [_floppy], Assist = strength });
        using (machine)
        {
            var sent = new List<byte>();
            bool started = false;
            machine.DebugSink = value =>
            {
                if (started)
                    sent.Add(value);
                started |= value == Marker;
            };
            machine.Run(60_000_000_000);
            return [.. sent];
        }
    }

    private static void UseApics(Assembler a)
    {
        Label wait = a.CreateLabel(), ticks = a.CreateLabel();
        SendCpuidBit(a);
        a.mov(ecx, 0x1B);
        a.rdmsr();
        SendEax(a);
        Send(a, LocalApic + 0x30);
        a.mov(al, 0xFF);
        a.@out(0x21, al);
        a.@out(0xA1, al);
        a.mov(__dword_ptr[LocalApic + 0xF0], 0x1FF);
        a.mov(__dword_ptr[LocalApic + 0x3E0], 0x0B); // divide by 1
        a.mov(__dword_ptr[LocalApic + 0x320], 0x40);
        a.mov(__dword_ptr[LocalApic + 0x380], 2_000_000_000); // 20 s
        a.sti();
        a.Label(ref wait);
        a.hlt();
        a.cmp(__byte_ptr[Seen], 0);
        a.je(wait);
        SendByte(a, Seen);
        a.mov(__dword_ptr[IoApic], 0x14); // input 2
        a.mov(__dword_ptr[IoApic + 0x10], 0x41);
        a.Label(ref ticks);
        a.hlt();
        a.cmp(__byte_ptr[Seen + 1], 3);
        a.jb(ticks);
        a.cli();
        SendByte(a, Seen + 1);
        a.mov(ecx, 0x1B);
        a.rdmsr();
        a.and(eax, ~0x800);
        a.wrmsr();
        SendCpuidBit(a);
        Send(a, LocalApic + 0x30);
    }

    private static void SendCpuidBit(Assembler a)
    {
        a.mov(eax, 1);
        a.cpuid();
        a.shr(edx, 9);
        a.and(edx, 1);
        a.mov(eax, edx);
        a.@out(0xE9, al);
    }

    private static void SendByte(Assembler a, int address)
    {
        a.mov(al, __byte_ptr[address]);
        a.@out(0xE9, al);
    }

    private static void Send(Assembler a, uint address)
    {
        a.mov(eax, __dword_ptr[address]);
        SendEax(a);
    }

    private static void SendEax(Assembler a)
    {
        Label next = a.CreateLabel();
        a.mov(ecx, 4);
        a.Label(ref next);
        a.@out(0xE9, al);
        a.shr(eax, 8);
        a.loop(next);
    }

    /// <summary>A 16-bit entry that switches to flat protected mode, then the body, an IDT with two handlers, HLT with IF=0 at the end.</summary>
    private static byte[] Image(Action<Assembler> body)
    {
        var image = new byte[1440 * 1024];
        var a = new Assembler(16);
        a.cli();
        a.xor(ax, ax);
        a.mov(ds, ax);
        a.lgdt(__[Pointers]);
        a.mov(eax, cr0);
        a.or(al, 1);
        a.mov(cr0, eax);
        a.jmp(0x08, Entry32);
        Assemble(a, 0x7C00, image);

        a = new Assembler(32);
        a.mov(eax, 0x10);
        a.mov(ds, ax);
        a.mov(es, ax);
        a.mov(ss, ax);
        a.mov(esp, 0x7000);
        a.mov(__word_ptr[Seen], 0);
        foreach (int vector in new[] { 0x40, 0x41 })
        {
            a.mov(__dword_ptr[Idt + (vector * 8)], 0x0008_0000 | Handler(vector));
            a.mov(__dword_ptr[Idt + (vector * 8) + 4], 0x8E00);
        }
        a.lidt(__[Pointers + 8]);
        a.mov(al, Marker);
        a.@out(0xE9, al);
        body(a);
        a.cli();
        a.hlt();
        Assemble(a, Entry32, image);

        foreach (int vector in new[] { 0x40, 0x41 })
        {
            a = new Assembler(32);
            a.inc(__byte_ptr[Seen + (vector & 1)]);
            a.mov(__dword_ptr[LocalApic + 0xB0], 0);
            a.iretd();
            Assemble(a, Handler(vector), image);
        }

        // Pointers to GDT and IDT, then the GDT: null, flat code, flat data.
        byte[] tables =
        [
            0x17, 0, 0xE0, 0x7D, 0, 0, 0, 0, 0xFF, 0x07, 0x00, Idt >> 8, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0x9B, 0xCF, 0, 0xFF, 0xFF, 0, 0, 0, 0x93, 0xCF, 0,
        ];
        Place(tables, Pointers, image);
        image[510] = 0x55;
        image[511] = 0xAA;
        return image;
    }

    private static void Assemble(Assembler a, int at, byte[] image)
    {
        using var code = new MemoryStream();
        a.Assemble(new StreamCodeWriter(code), (ulong)at);
        Place(code.ToArray(), at, image);
    }

    private static void Place(byte[] bytes, int at, byte[] image)
    {
        var room = image.AsSpan(at - 0x7C00, bytes.Length);
        Assert.False(room.ContainsAnyExcept((byte)0), $"What lies at {at:X4}h is too long.");
        bytes.CopyTo(room);
    }

    private static int Handler(int vector) => Handlers + ((vector & 1) * 24);
}
