namespace Farm.Machine.Devices.Ps2;

/// <summary>Status register, port 64h.</summary>
[Flags]
internal enum I8042Status : byte
{
    OutputBufferFull = 0x01,
    InputBufferFull = 0x02,
    SystemFlag = 0x04,
    Command = 0x08,
    NotInhibited = 0x10,
    AuxiliaryOutputBufferFull = 0x20,
    Timeout = 0x40,
    ParityError = 0x80,
}

/// <summary>Command byte, RAM location 0.</summary>
[Flags]
internal enum I8042CommandByte : byte
{
    KeyboardInterrupt = 0x01,
    AuxiliaryInterrupt = 0x02,
    SystemFlag = 0x04,
    DisableKeyboard = 0x10,
    DisableAuxiliary = 0x20,
    Translate = 0x40,
}

[Flags]
internal enum I8042OutputPort : byte
{
    ResetHigh = 0x01,
    GateA20 = 0x02,
    AuxiliaryData = 0x04,
    AuxiliaryClock = 0x08,
    OutputBufferFull = 0x10,
    AuxiliaryOutputBufferFull = 0x20,
    KeyboardClock = 0x40,
    KeyboardData = 0x80,
}
