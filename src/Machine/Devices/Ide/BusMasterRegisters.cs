namespace Farm.Machine.Devices.Ide;

/// <summary>BMICX (Programming Interface for Bus Master IDE Controller, rev. 1.0, 2.1).</summary>
[Flags]
internal enum BusMasterCommand : byte
{
    Start = 0x01,

    /// <summary>The bus master writes memory: the device is read.</summary>
    ToMemory = 0x08,
}

/// <summary>BMISX (2.2).</summary>
[Flags]
internal enum BusMasterStatus : byte
{
    Active = 0x01,
    Error = 0x02,
    Interrupt = 0x04,
    Drive0Capable = 0x20,
    Drive1Capable = 0x40,
}
