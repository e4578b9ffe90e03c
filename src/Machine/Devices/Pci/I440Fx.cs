namespace Farm.Machine.Devices.Pci;

/// <param name="Start">First address, in C0000h-FFFFFh.</param>
/// <param name="ReadRam">Reads go to shadow RAM; else to the expansion bus (ROM or nothing).</param>
/// <param name="WriteRam">Writes go to shadow RAM; else to the expansion bus.</param>
public readonly record struct PamRegion(uint Start, uint Length, bool ReadRam, bool WriteRam);

/// <summary>
/// The 82441FX host bridge (data sheet 290549), 8086:1237 in slot 0: programmable attribute map and SMRAM control.
/// </summary>
public sealed class I440Fx : PciDevice
{
    private const int Pam0 = 0x59;
    private const int DramRowBoundary = 0x60;
    private const int Smram = 0x72;
    private const int Segments = 13;

    private readonly byte[] _attributes = new byte[Segments];
    private bool? _smramShown;

    /// <param name="lowMemory">Bytes of RAM below 4 GiB, for the row boundary registers.</param>
    /// <param name="qemuSubsystem">Subsystem 1AF4:1100, by which SeaBIOS knows that fw_cfg is there; the chip itself has none.</param>
    public I440Fx(ulong lowMemory, bool qemuSubsystem = false)
        : base("82441FX", 0x8086, 0x1237, 0x060000, 0x02)
    {
        Initial16(PciHeader.Command, 0x0006);
        Initial16(PciHeader.Status, 0x0280);
        Writable(PciHeader.Command, 0x40, 0x01);
        Writable(PciHeader.InterruptLine, 0x00);
        if (qemuSubsystem)
            Initial32(PciHeader.SubsystemVendorId, 0x1100_1AF4);
        Initial16(0x50, 0x0400);
        Initial8(0x57, 0x01);
        Initial8(Smram, (byte)SmramControl.BaseSegment);
        byte rows = (byte)Math.Min(lowMemory >> 23, 0xFF);
        for (int i = 0; i < 8; i++)
            Initial8(DramRowBoundary + i, rows);
        Writable(0x50, 0xFF, 0xFF, 0, 0x07, 0, 0, 0xFF, 0xFF, 0x80);
        Writable(Pam0, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33);
        Writable(0x68, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF);
        Writable(Smram, (byte)(SmramControl.Open | SmramControl.Closed | SmramControl.Locked | SmramControl.Enable));
        Writable(0x90, 0x7F, 0x00, 0x00, 0x06);
    }

    /// <summary>Called for each region whose attributes changed, and for all of them at reset.</summary>
    public Action<PamRegion>? PamChanged { get; set; }

    /// <summary>Called with true when A0000h-BFFFFh comes to show SMRAM: to everybody (D_OPEN), or to a processor in system management mode (G_SMRAME).</summary>
    public Action<bool>? SmramShown { get; set; }

    /// <summary>SMIACT#: the processor is in system management mode.</summary>
    public bool SystemManagement
    {
        get;
        set
        {
            field = value;
            ApplySmram();
        }
    }

    private SmramControl SmramRegister => (SmramControl)Config8(Smram);

    public override void Reset()
    {
        base.Reset();
        Writable(Smram, (byte)(SmramControl.Open | SmramControl.Closed | SmramControl.Locked | SmramControl.Enable));
        Array.Fill(_attributes, (byte)0xFF);
        _smramShown = null;
        ApplyPam();
        ApplySmram();
    }

    protected override void ConfigWritten(int offset, int size)
    {
        if (offset <= Smram && offset + size > Pam0)
        {
            ApplyPam();
            ApplySmram();
        }
    }

    /// <summary>Segment 0 is F0000h-FFFFFh; 1 to 12 are 16 KiB each from C0000h.</summary>
    private static (uint Start, uint Length) Bounds(int segment) =>
        segment == 0 ? (0xF0000u, 0x10000u) : (0xC0000u + (uint)(segment - 1) * 0x4000, 0x4000u);

    private void ApplyPam()
    {
        for (int segment = 0; segment < Segments; segment++)
        {
            byte register = Config8(Pam0 + (segment + 1) / 2);
            byte attributes = (byte)((segment & 1) == 0 ? register >> 4 & 3 : register & 3);
            if (attributes == _attributes[segment])
                continue;
            _attributes[segment] = attributes;
            var (start, length) = Bounds(segment);
            PamChanged?.Invoke(new PamRegion(start, length, (attributes & 1) != 0, (attributes & 2) != 0));
        }
    }

    private void ApplySmram()
    {
        if ((SmramRegister & SmramControl.Locked) != 0)
        {
            SetConfig8(Smram, (byte)(SmramRegister & ~SmramControl.Open));
            Writable(Smram, (byte)SmramControl.Closed);
        }
        bool shown = (SmramRegister & SmramControl.Enable) != 0 && (SystemManagement || (SmramRegister & SmramControl.Open) != 0);
        if (shown == _smramShown)
            return;
        _smramShown = shown;
        SmramShown?.Invoke(shown);
    }

    [Flags]
    private enum SmramControl : byte
    {
        BaseSegment = 0x02,
        Enable = 0x08,
        Locked = 0x10,
        Closed = 0x20,
        Open = 0x40,
    }
}
