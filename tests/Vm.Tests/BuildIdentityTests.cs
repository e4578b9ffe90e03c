using Farm.Firmware;

namespace Farm.Vm.Tests;

public sealed class BuildIdentityTests
{
    [Fact]
    public void Other_firmware_is_another_build_and_the_order_of_payloads_is_not()
    {
        var bios = Payload(PayloadRole.Bios, 1);
        var vga = Payload(PayloadRole.VgaBiosStandard, 2);
        string build = BuildIdentity.With([bios, vga]);
        Assert.Equal(12, build.Length);
        Assert.Equal(build, BuildIdentity.With([vga, bios]));
        Assert.NotEqual(build, BuildIdentity.With([Payload(PayloadRole.Bios, 3), vga]));
        Assert.NotEqual(build, BuildIdentity.With([bios, Payload(PayloadRole.VgaBiosStandard, 3)]));
        Assert.NotEqual(build, BuildIdentity.OfThisProgram);
    }

    private static Payload Payload(PayloadRole role, byte content) => new(role.ToString(), role, "", "", new byte[] { content });
}
