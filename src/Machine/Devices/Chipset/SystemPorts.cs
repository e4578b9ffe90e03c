using System.Text;
using Farm.Machine.Bus;
using Farm.Machine.Devices.Pit;

namespace Farm.Machine.Devices.Chipset;

/// <summary>
/// The single ports of a PC: 61h (system control port B), 92h (port A), 80h (POST code), and those of emulators: E9h (Bochs
/// debug console), 402h (SeaBIOS debug console), 8900h (Bochs shutdown).
/// </summary>
public sealed class SystemPorts : IPortDevice
{
    private const byte DebugConsolePresent = 0xE9;
    private const string ShutdownWord = "Shutdown";
    private const int MaximumPostCodes = 4096;

    private readonly Pit8254 _pit;
    private readonly SystemControl _system;
    private readonly StringBuilder _shutdown = new();
    private readonly List<byte> _postCodes = [];
    private byte _portB;
    private byte _portA;

    public SystemPorts(Pit8254 pit, SystemControl system)
    {
        _pit = pit;
        _system = system;
    }

    public string Name => "system ports";

    public IReadOnlyList<PortRange> Ports { get; } =
        [new(0x61, 1), new(0x80, 1), new(0x92, 1), new(0xE9, 1), new(0x402, 1), new(0x8900, 1)];

    /// <summary>Gets each byte of the debug consoles E9h and 402h.</summary>
    public Action<byte>? DebugConsole { get; set; }

    /// <summary>Gets each POST code.</summary>
    public Action<byte>? PostCodeWritten { get; set; }

    /// <summary>The POST code latched last.</summary>
    public byte PostCode { get; private set; }

    /// <summary>The first few thousand POST codes, repetitions of the same one left out (BIOSes use port 80h as a delay).</summary>
    public IReadOnlyList<byte> PostCodes => _postCodes;

    /// <summary>Port 61h bits 0 and 1 both set: the speaker follows OUT2.</summary>
    public bool SpeakerOn => (_portB & (byte)(PortB.Timer2Gate | PortB.SpeakerData)) == (byte)(PortB.Timer2Gate | PortB.SpeakerData);

    public void Reset()
    {
        _portB = 0;
        _portA = 0;
        PostCode = 0;
        _shutdown.Clear();
        _pit.Gate2 = false;
    }

    public uint ReadPort(ushort port, int size) => port switch
    {
        0x61 => ReadPortB(),
        0x80 => PostCode,
        0x92 => (uint)(_portA & ~(byte)PortA.FastA20) | (_system.A20 ? (uint)PortA.FastA20 : 0),
        0xE9 or 0x402 => DebugConsolePresent,
        _ => 0xFF,
    };

    public void WritePort(ushort port, uint value, int size)
    {
        switch (port)
        {
            case 0x61:
                _portB = (byte)(value & (uint)PortB.Writable);
                _pit.Gate2 = (_portB & (byte)PortB.Timer2Gate) != 0;
                break;
            case 0x80:
                RecordPostCode((byte)value);
                break;
            case 0x92:
                WritePortA((byte)value);
                break;
            case 0xE9 or 0x402:
                DebugConsole?.Invoke((byte)value);
                break;
            case 0x8900:
                Shutdown((byte)value);
                break;
        }
    }

    private uint ReadPortB()
    {
        uint value = _portB;
        if (_pit.RefreshToggle)
            value |= (uint)PortB.RefreshToggle;
        if (_pit.Output2)
            value |= (uint)PortB.Timer2Output;
        return value;
    }

    private void WritePortA(byte value)
    {
        bool resetRises = (value & ~_portA & (byte)PortA.FastReset) != 0;
        _portA = (byte)(value & (byte)(PortA.FastReset | PortA.FastA20));
        _system.A20 = (value & (byte)PortA.FastA20) != 0;
        if (!resetRises)
            return;
        _portA &= (byte)~PortA.FastReset;
        _system.RequestReset(ResetKind.Processor, "port 92h");
    }

    private void RecordPostCode(byte value)
    {
        if ((_postCodes.Count == 0 || value != PostCode) && _postCodes.Count < MaximumPostCodes)
            _postCodes.Add(value);
        PostCode = value;
        PostCodeWritten?.Invoke(value);
    }

    private void Shutdown(byte value)
    {
        _shutdown.Append((char)value);
        if (!ShutdownWord.StartsWith(_shutdown.ToString(), StringComparison.Ordinal))
        {
            _shutdown.Clear();
            if (value == ShutdownWord[0])
                _shutdown.Append((char)value);
        }
        else if (_shutdown.Length == ShutdownWord.Length)
        {
            _shutdown.Clear();
            _system.RequestPowerOff("port 8900h");
        }
    }

    [Flags]
    private enum PortB : byte
    {
        Timer2Gate = 0x01,
        SpeakerData = 0x02,
        ParityCheckDisable = 0x04,
        IoCheckDisable = 0x08,
        Writable = Timer2Gate | SpeakerData | ParityCheckDisable | IoCheckDisable,
        RefreshToggle = 0x10,
        Timer2Output = 0x20,
    }

    [Flags]
    private enum PortA : byte
    {
        FastReset = 0x01,
        FastA20 = 0x02,
    }
}
