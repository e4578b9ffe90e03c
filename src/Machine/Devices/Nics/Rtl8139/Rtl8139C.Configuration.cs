namespace Farm.Machine.Devices.Nics.Rtl8139;

/// <summary>The EEPROM port, the configuration registers and the built-in PHY.</summary>
public sealed partial class Rtl8139C
{
    private const byte EepromSelect = 0x08;
    private const byte EepromClock = 0x04;
    private const byte EepromDataIn = 0x02;
    private const byte EepromDataOut = 0x01;
    private const byte EepromModeMask = 0xC0;
    private const byte AutoLoad = 0x40;

    private const ushort PhyReset = 0x8000;
    private const ushort RestartNegotiation = 0x0200;
    private const ushort BasicControlDefault = 0x3100; // 100 Mbit/s, auto-negotiation, full duplex
    private const uint BasicStatus = 0x782D; // all speeds, negotiation done, link up
    private const ushort AdvertisementDefault = 0x05E1;
    private const uint PartnerAbility = 0x45E1;
    private const uint PartnerNegotiates = 0x0001;

    private bool ConfigWritable => (_eepromCommand & EepromModeMask) == ConfigWriteEnable;

    private uint EepromRegister
    {
        get
        {
            bool output = (_eepromCommand & EepromModeMask) == EepromProgramming && _eeprom.DataOut;
            return _eepromCommand | (output ? (uint)EepromDataOut : 0);
        }
    }

    private void WriteConfiguration(uint value, uint mask)
    {
        if ((mask & 0xFF) != 0)
            WriteEepromCommand((byte)value);
        if (ConfigWritable)
            _config1 = (byte)(Merged((uint)_config1 << 16, value, mask & 0xF3_0000) >> 16 | 0x0C);
    }

    private void WriteEepromCommand(byte value)
    {
        _eepromCommand = (byte)(value & (EepromModeMask | EepromSelect | EepromClock | EepromDataIn));
        switch (value & EepromModeMask)
        {
            case EepromProgramming:
                _eeprom.Drive((value & EepromSelect) != 0, (value & EepromClock) != 0, (value & EepromDataIn) != 0);
                break;
            case AutoLoad: // loads as after a hardware reset, then goes back to normal by itself
                LoadStationAddress();
                _eepromCommand = 0;
                break;
            default:
                _eeprom.Drive(false, false, false);
                break;
        }
    }

    private void ResetPhy()
    {
        _basicControl = BasicControlDefault;
        _advertisement = AdvertisementDefault;
    }

    private void WriteBasicControl(ushort value)
    {
        if ((value & PhyReset) != 0)
            ResetPhy();
        else
            _basicControl = (ushort)(value & ~RestartNegotiation);
    }
}
