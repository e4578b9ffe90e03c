namespace Farm.Machine.Devices.Dma;

/// <summary>Mode register (8237A data sheet 231466); bits 1-0 select the channel.</summary>
[Flags]
internal enum DmaMode : byte
{
    TransferMask = 0x0C,
    WriteTransfer = 0x04,
    ReadTransfer = 0x08,
    Autoinitialize = 0x10,
    AddressDecrement = 0x20,
    Single = 0x40,
    Block = 0x80,
    Cascade = 0xC0,
}

[Flags]
internal enum DmaCommand : byte
{
    MemoryToMemory = 0x01,
    Channel0Hold = 0x02,
    Disable = 0x04,
}
