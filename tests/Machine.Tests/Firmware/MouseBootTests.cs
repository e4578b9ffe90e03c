using Farm.Machine.Boot;
using Farm.Machine.Devices.Ps2;
using Farm.Machine.Tests.Storage;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Farm.Machine.Tests.Firmware;

/// <summary>The BIOS's pointing device functions (INT 15h AH=C2h) with our mouse: a handler is called with each packet.</summary>
public sealed class MouseBootTests
{
    [Theory]
    [MemberData(nameof(FirmwareBed.Sets), MemberType = typeof(FirmwareBed))]
    public void A_movement_calls_the_handler_with_buttons_and_distance(string firmware)
    {
        using var folder = new TestFolder();
        byte[] floppy = new byte[1474560];
        Program().Sector().CopyTo(floppy, 0);
        using var session = FirmwareBed.Session(
            FirmwareBed.Machine(firmware) with { Floppies = [folder.File("a.img", floppy)] },
            [ScriptStep.Expect("READY"), new WaitStep(TimeSpan.FromSeconds(1)), ScriptStep.Expect("LEFT X=J Y=F")]);
        bool moved = false;
        session.Machine.Clock.CreateTimer("mouse", _ =>
        {
            session.Machine.Keyboard.Mouse.Move(10, 6, 0, MouseButtons.Left);
            moved = true;
        }).Arm(15_000_000_000);
        var report = session.Run(TestContext.Current.CancellationToken);
        Assert.True(report.Outcome == BootOutcome.Pass, report.Reason);
        Assert.True(moved);
    }

    private static BootProgram Program()
    {
        var program = new BootProgram();
        var a = program.Asm;
        a.mov(ax, 0xC205);
        a.mov(bh, 3); // packets of three bytes
        a.@int(0x15);
        program.Equal(ah, 0);
        Label behind = a.CreateLabel(), idle = a.CreateLabel(), none = a.CreateLabel();
        a.call(behind);

        // The handler, called far with status, X, Y, Z as words.
        a.push(bp);
        a.mov(bp, sp);
        a.pusha();
        a.test(__byte_ptr[bp + 12], 1);
        a.jz(none);
        program.Print("LEFT X=");
        a.mov(al, __byte_ptr[bp + 10]);
        program.PutLetter();
        program.Print(" Y=");
        a.mov(al, __byte_ptr[bp + 8]);
        program.PutLetter();
        a.Label(ref none);
        a.popa();
        a.pop(bp);
        a.retf();

        a.Label(ref behind);
        a.pop(bx);
        a.mov(ax, 0xC207);
        a.@int(0x15);
        program.Equal(ah, 0);
        a.mov(ax, 0xC200);
        a.mov(bh, 1);
        a.@int(0x15);
        program.Equal(ah, 0);
        program.Print("READY ");
        a.Label(ref idle);
        a.hlt();
        a.jmp(idle);
        return program;
    }
}
