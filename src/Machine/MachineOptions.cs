using Farm.Assist.Monitor;
using Farm.Machine.Network;

namespace Farm.Machine;

/// <summary>What a PC is built from.</summary>
public sealed record MachineOptions
{
    public int MemoryMiB { get; init; } = 64;

    public string CpuModel { get; init; } = "p3";

    public AssistStrength Assist { get; init; } = AssistStrength.Vm86;

    /// <summary>bochs or seabios.</summary>
    public string Firmware { get; init; } = "bochs";

    /// <summary>A raw rombios image of 64, 128 or 256 KiB instead of the set's.</summary>
    public string? BiosFile { get; init; }

    /// <summary>std, cirrus or a file.</summary>
    public string Vgabios { get; init; } = "std";

    /// <summary>Files of drives A: and B: (null: empty drive).</summary>
    public IReadOnlyList<string?> Floppies { get; init; } = [];

    /// <summary>IDE disks.</summary>
    public IReadOnlyList<string> Disks { get; init; } = [];

    /// <summary>Disks behind virtio block devices; SeaBIOS boots from them, the Bochs BIOS does not see them.</summary>
    public IReadOnlyList<string> VirtioDisks { get; init; } = [];

    public IReadOnlyList<string?> Cdroms { get; init; } = [];

    /// <summary>Boot order: a floppy, c disk, d CD-ROM, n network.</summary>
    public string Order { get; init; } = "acd";

    /// <summary>SeaBIOS offers its boot menu (ESC) and waits for it; the Bochs BIOS offers its own (F12) always.</summary>
    public bool BootMenu { get; init; }

    /// <summary>True: guest writes go to the image files; false: to an overlay that is thrown away.</summary>
    public bool WriteThrough { get; init; }

    /// <summary>The date in the real-time clock at power-on: fixed, so that runs repeat.</summary>
    public DateTime RtcStart { get; init; } = new(2006, 7, 1, 12, 0, 0, DateTimeKind.Utc);

    /// <summary>Instructions (Iced code names) that the assist is to refuse beside its own gaps.</summary>
    public IReadOnlyList<string> Refuse { get; init; } = [];

    /// <summary>False: no SMI# even where the backend has system management mode; the BIOS finds it set up, as on the backends without.</summary>
    public bool SystemManagement { get; init; } = true;

    public int Vcpus { get; init; } = 1;

    /// <summary>Network cards, each with a network of its own; none unless the guest asks for one.</summary>
    public IReadOnlyList<NicOptions> Nics { get; init; } = [];
}
