using Farm.Machine.Boot;
using Farm.Machine.Tests.Storage;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests.Firmware;

/// <summary>
/// A boot sector sets a VBE mode with linear framebuffer through either VGABIOS and draws a gradient there from unreal mode. The
/// picture is the guest's, pixel by pixel.
/// </summary>
public sealed class VbeBootTests
{
    private const ushort ModeInfo = 0x8200, Gdt = 0x640, GdtRegister = 0x650;

    public static TheoryData<string, string, ushort, int, int> Modes()
    {
        var data = new TheoryData<string, string, ushort, int, int>();
        foreach (string firmware in (string[])["bochs", "seabios"])
        {
            foreach (string vgabios in (string[])["std", "cirrus"])
            {
                data.Add(firmware, vgabios, 0x112, 640, 480);
                data.Add(firmware, vgabios, 0x118, 1024, 768);
            }
        }
        return data;
    }

    [Theory]
    [MemberData(nameof(Modes))]
    public void A_linear_framebuffer_shows_what_is_drawn(string firmware, string vgabios, ushort mode, int width, int height)
    {
        using var folder = new TestFolder();
        byte[] floppy = new byte[1474560];
        Program(mode, width, height).Sector().CopyTo(floppy, 0);
        using var session = FirmwareBed.Session(
            FirmwareBed.Machine(firmware) with { Vgabios = vgabios, Floppies = [folder.File("a.img", floppy)] }, [ScriptStep.Expect("DRAWN")]);
        var report = session.Run(TestContext.Current.CancellationToken);
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        var screen = session.Machine.Screen.Render();
        Assert.Equal((width, height), (screen.Width, screen.Height));
        foreach ((int x, int y) in new[] { (0, 0), (1, 0), (255, 3), (300, 200), (width - 1, 0), (0, height - 1), (width - 1, height - 1) })
            Assert.Equal(0x80u | (uint)(y & 0xFF) << 8 | (uint)(x & 0xFF) << 16, screen[x, y] & 0xFFFFFF);
        if (Environment.GetEnvironmentVariable("FARM_SCREENSHOTS") is { Length: > 0 } shots)
            File.WriteAllBytes(Path.Combine(shots, $"vbe-{firmware}-{vgabios}-{mode:x}.png"), session.Screenshot());
    }

    private static BootProgram Program(ushort mode, int width, int height)
    {
        var program = new BootProgram();
        var a = program.Asm;
        a.mov(di, 0x8000);
        a.mov(ax, 0x4F00);
        a.@int(0x10);
        program.Equal(al, 0x4F);
        program.Equal(0x8000, 0x41534556); // VESA
        a.mov(di, ModeInfo);
        a.mov(cx, (short)mode);
        a.mov(ax, 0x4F01);
        a.@int(0x10);
        program.Equal(ah, 0);
        a.mov(bx, (ushort)(0x4000 | mode));
        a.mov(ax, 0x4F02);
        a.@int(0x10);
        program.Equal(ah, 0);

        // FS reaches all 4 GiB from real mode.
        program.Put(Gdt + 8, 0x0000FFFF);
        program.Put(Gdt + 12, 0x00CF9200);
        a.mov(__word_ptr[GdtRegister], 15);
        a.mov(__dword_ptr[GdtRegister + 2], (int)Gdt);
        a.cli();
        a.lgdt(__word_ptr[GdtRegister]);
        a.mov(eax, cr0);
        a.or(al, 1);
        a.mov(cr0, eax);
        a.mov(cx, 8);
        a.mov(fs, cx);
        a.and(al, -2);
        a.mov(cr0, eax);
        a.xor(cx, cx);
        a.mov(fs, cx);
        a.sti();

        a.mov(esi, __dword_ptr[ModeInfo + 40]); // PhysBasePtr
        a.xor(dx, dx); // y
        Label row = a.CreateLabel(), column = a.CreateLabel();
        a.Label(ref row);
        a.mov(edi, esi);
        a.xor(cx, cx); // x
        a.Label(ref column);
        a.mov(__byte_ptr.fs[edi], cl);
        a.mov(__byte_ptr.fs[edi + 1], dl);
        a.mov(__byte_ptr.fs[edi + 2], 0x80);
        a.movzx(eax, __byte_ptr[ModeInfo + 25]); // BitsPerPixel
        a.shr(eax, 3);
        a.add(edi, eax);
        a.inc(cx);
        a.cmp(cx, (short)width);
        a.jne(column);
        a.movzx(eax, __word_ptr[ModeInfo + 16]); // BytesPerScanLine
        a.add(esi, eax);
        a.inc(dx);
        a.cmp(dx, (short)height);
        a.jne(row);
        program.Print("DRAWN");
        return program;
    }
}
