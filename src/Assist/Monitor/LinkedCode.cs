using Iced.Intel;

namespace Farm.Linking;

/// <summary>
/// 32-bit code and data linked at a fixed address. The body is assembled twice: the first pass finds where the labels lie, the
/// second has their addresses for absolute references, which Iced's labels do not offer.
/// </summary>
internal sealed class LinkedCode
{
    private readonly Dictionary<string, Label> _labels = [];
    private Dictionary<string, uint> _addresses = [];

    private LinkedCode()
    {
    }

    public Assembler Asm { get; private set; } = new(32);

    /// <summary>The label for branches; created on first use.</summary>
    public Label this[string name]
    {
        get
        {
            if (!_labels.TryGetValue(name, out var label))
                _labels[name] = label = Asm.CreateLabel(name);
            return label;
        }
    }

    /// <summary>Assembles <paramref name="body"/> for <paramref name="origin"/>; gives the bytes and the addresses of all labels.</summary>
    public static (byte[] Image, IReadOnlyDictionary<string, uint> Labels) Link(uint origin, Action<LinkedCode> body)
    {
        var code = new LinkedCode();
        byte[] first = code.Pass(origin, body);
        byte[] second = code.Pass(origin, body);
        return first.Length == second.Length
            ? (second, code._addresses)
            : throw new InvalidOperationException("The code's size depends on its labels' addresses.");
    }

    /// <summary>Address of a label, for immediates and displacements.</summary>
    public uint At(string name) => _addresses.TryGetValue(name, out uint address) ? address : 0x7FFF0000;

    /// <summary>Puts the label here.</summary>
    public void Place(string name)
    {
        var label = this[name];
        Asm.Label(ref label);
        _labels[name] = label;
    }

    private byte[] Pass(uint origin, Action<LinkedCode> body)
    {
        Asm = new Assembler(32);
        _labels.Clear();
        body(this);
        using var stream = new MemoryStream();
        var result = Asm.Assemble(new StreamCodeWriter(stream), origin, BlockEncoderOptions.ReturnNewInstructionOffsets);
        _addresses = _labels.ToDictionary(label => label.Key, label => (uint)result.GetLabelRIP(label.Value));
        return stream.ToArray();
    }
}
