using Farm.Firmware;
using Farm.Machine.Hypervisors;
using Farm.Machine.Hypervisors.Soft;
using Iced.Intel;

namespace Farm.Machine.Tests;

/// <summary>A whole machine on the soft backend, with the firmware of the host's packages.</summary>
internal static class TestMachine
{
    /// <summary>Builds it; the test is skipped where there is no firmware, and for no other reason.</summary>
    public static PcMachine Build(MachineOptions options) => OrSkip(() => MachineBuilder.Build(options, new SoftHypervisor()));

    /// <inheritdoc cref="Build"/>
    public static T OrSkip<T>(Func<T> build)
    {
        try
        {
            return build();
        }
        catch (Exception e) when (e is HostException or FirmwareException)
        {
            Assert.Skip($"No firmware to boot with: {e.Message}");
            throw;
        }
    }

    /// <summary>A floppy's image that boots 16-bit <paramref name="code"/> at 0:7C00.</summary>
    public static byte[] BootFloppy(Assembler code)
    {
        using var stream = new MemoryStream();
        code.Assemble(new StreamCodeWriter(stream), 0x7C00);
        Assert.InRange(stream.Length, 0, 510);
        byte[] image = new byte[1440 * 1024];
        stream.ToArray().CopyTo(image, 0);
        (image[510], image[511]) = (0x55, 0xAA);
        return image;
    }
}
