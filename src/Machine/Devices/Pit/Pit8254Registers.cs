namespace Farm.Machine.Devices.Pit;

/// <summary>Access bits RW1-RW0 of the control word.</summary>
internal enum PitAccess : byte
{
    CounterLatch = 0,
    LeastSignificant = 1,
    MostSignificant = 2,
    Both = 3,
}

/// <summary>Mode bits M2-M0; 6 and 7 decode as 2 and 3.</summary>
internal enum PitMode : byte
{
    InterruptOnTerminalCount = 0,
    RetriggerableOneShot = 1,
    RateGenerator = 2,
    SquareWave = 3,
    SoftwareStrobe = 4,
    HardwareStrobe = 5,
}

[Flags]
internal enum PitStatus : byte
{
    Bcd = 0x01,
    NullCount = 0x40,
    Output = 0x80,
}

/// <summary>Read-back command (control word with both select bits set).</summary>
[Flags]
internal enum PitReadBack : byte
{
    Counter0 = 0x02,
    Counter1 = 0x04,
    Counter2 = 0x08,
    NoStatus = 0x10,
    NoCount = 0x20,
}
