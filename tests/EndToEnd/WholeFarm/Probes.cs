using Farm.EndToEnd.Guests;

namespace Farm.EndToEnd.WholeFarm;

/// <summary>A guest of the tests' own: a bootable floppy and what its screen has to show.</summary>
internal sealed record Probe(string Id, byte[] Floppy, string Expect)
{
    public string Yaml => $$"""
        id: {{Id}}
        name: {{Id}}
        family: test
        memory: 16
        cpu: p3
        media:
          - name: boot
            kind: floppy
            files: [{{Id}}.img]
        disk:
          boot: a
          drives:
            floppy0: boot
          guest-seconds: 60
          script:
            steps:
              - expect: '{{Expect}}'
              - phase: prompt

        """;
}

internal static class Probes
{
    /// <summary>Executes RDPMC, which vm86 refuses; the processor itself executes it.</summary>
    public static Probe RefusedOpcode { get; } = new("refused-opcode", BootSectors.Rdpmc(), "RDPMC (ran|faulted)");

    /// <summary>The same instruction in a guest that is wrong by itself: what it is waited for never comes.</summary>
    public static Probe GuestBug { get; } = new("guest-bug", BootSectors.Rdpmc(thenHangs: true), "all is well");

    /// <summary>Says something on the serial port, works for some seconds, and is done.</summary>
    public static Probe Slow { get; } = new("slow", BootSectors.Busy(dots: 40), "work is done");
}
