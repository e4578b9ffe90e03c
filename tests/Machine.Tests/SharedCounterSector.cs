using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests;

/// <summary>
/// A boot sector that wakes the second processor by INIT and SIPI through its local APIC (SDM vol. 3, 9.4.4.1); both count in memory under
/// a lock.
/// </summary>
internal static class SharedCounterSector
{
    private const int Rounds = 20_000;
    private const uint LocalApic = 0xFEE00000;

    /// <summary>What it sends to port E9h: a mark, the second processor's identity, and both processors' sum.</summary>
    public static byte[] Result => [0xA5, 1, .. BitConverter.GetBytes(2 * Rounds)];

    // Bochs BIOS's and SeaBIOS's start-up code for the second processor has long come to its HLT.
    public static byte[] Image()
    {
        const ushort lockAt = 0x600, counterAt = 0x604, doneAt = 0x608, idAt = 0x60C;
        byte[] application = Assemble(0, a =>
        {
            a.xor(ax, ax);
            a.mov(ds, ax);
            a.mov(eax, 1);
            a.cpuid();
            a.shr(ebx, 24);
            a.mov(__byte_ptr[idAt], bl);
            Count(a);
            a.mov(__byte_ptr[doneAt], 1);
            a.cli();
            a.hlt();
        });
        byte[] bootstrap = Assemble(0x7C00, a =>
        {
            Label wait = a.CreateLabel(), stop = a.CreateLabel();
            a.cli();
            a.xor(ax, ax);
            a.mov(ds, ax);
            a.mov(ss, ax);
            a.mov(sp, 0x7C00);
            a.xor(eax, eax);
            a.mov(__dword_ptr[lockAt], eax);
            a.mov(__dword_ptr[counterAt], eax);
            a.mov(__dword_ptr[doneAt], eax);

            // The application processor's code at 8000h: vector 8.
            a.mov(si, 0x7D00);
            a.mov(di, 0x8000);
            a.mov(es, ax);
            a.mov(cx, 128);
            a.rep.movsw();

            // Flat data segments to reach the local APIC: protected mode and back.
            a.lgdt(__[0x7DF0]);
            a.mov(eax, cr0);
            a.or(al, 1);
            a.mov(cr0, eax);
            a.mov(bx, 8);
            a.mov(ds, bx);
            a.and(al, 0xFE);
            a.mov(cr0, eax);
            foreach (uint command in new uint[] { 0x000C4500, 0x000C4608, 0x000C4608 })
            {
                a.mov(ebx, LocalApic + 0x300);
                a.mov(eax, command);
                a.mov(__dword_ptr[ebx], eax);
            }
            a.xor(ax, ax);
            a.mov(ds, ax);
            Count(a);
            a.Label(ref wait);
            a.pause();
            a.cmp(__byte_ptr[doneAt], 0);
            a.je(wait);
            a.mov(al, 0xA5);
            a.@out(0xE9, al);
            a.mov(al, __byte_ptr[idAt]);
            a.@out(0xE9, al);
            a.mov(eax, __dword_ptr[counterAt]);
            for (int i = 0; i < 4; i++)
            {
                a.@out(0xE9, al);
                a.shr(eax, 8);
            }
            a.Label(ref stop);
            a.hlt();
            a.jmp(stop);
        });
        byte[] image = new byte[1440 * 1024];
        bootstrap.CopyTo(image, 0);
        application.CopyTo(image, 0x100);
        Assert.True(bootstrap.Length <= 0x100 && application.Length <= 0xE0);

        // GDTR image at 7DF0h, and its table behind the code of the application processor: null, flat data.
        BitConverter.GetBytes((ushort)15).CopyTo(image, 0x1F0);
        BitConverter.GetBytes(0x7DE0u).CopyTo(image, 0x1F2);
        BitConverter.GetBytes(0x00CF93000000FFFFul).CopyTo(image, 0x1E8);
        image[510] = 0x55;
        image[511] = 0xAA;
        return image;

        // Not atomic but for the lock: each of the two must see the other's stores.
        static void Count(Assembler a)
        {
            Label round = a.CreateLabel();
            a.mov(ecx, Rounds);
            a.Label(ref round);
            a.mov(al, 1);
            a.xchg(__byte_ptr[lockAt], al);
            a.test(al, al);
            a.jne(round);
            a.mov(eax, __dword_ptr[counterAt]);
            a.inc(eax);
            a.mov(__dword_ptr[counterAt], eax);
            a.mov(__byte_ptr[lockAt], 0);
            a.dec(ecx);
            a.jne(round);
        }
    }

    private static byte[] Assemble(ulong origin, Action<Assembler> code)
    {
        var a = new Assembler(16);
        code(a);
        using var stream = new MemoryStream();
        a.Assemble(new StreamCodeWriter(stream), origin);
        return stream.ToArray();
    }
}
