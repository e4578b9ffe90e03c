using System.Text.Json;
using Farm.Assist.Reports;
using Farm.Contracts.Api;
using Farm.Contracts.Triage;

namespace Farm.Vm.Tests;

public sealed class VmJsonTests
{
    /// <summary>The compiler's JSON has to be told of each enum; one that it was not told of would travel as a number, which the farm refuses.</summary>
    [Fact]
    public void Every_enum_on_the_way_to_and_from_a_VM_is_written_as_the_farm_writes_it()
    {
        var enums = new HashSet<Type>();
        foreach (var root in new[] { typeof(VmJob), typeof(VmMessage), typeof(UnsupportedOpcodeEvent), typeof(UnsupportedOpcodeReport) })
            Collect(root, enums, []);
        Assert.True(enums.Count >= 10, string.Join(' ', enums));
        var vm = VmJson.Dialect();
        vm.TypeInfoResolver = FarmJson.Options.TypeInfoResolver;
        Assert.All(enums, type => Assert.All(Enum.GetValues(type).Cast<object>(), value =>
            Assert.Equal(JsonSerializer.Serialize(value, type, FarmJson.Options), JsonSerializer.Serialize(value, type, vm))));
    }

    [Fact]
    public void An_unsupported_opcode_is_written_as_the_farm_reads_it()
    {
        var opcode = new UnsupportedOpcodeEvent { Bytes = "0F01D0", Code = "Xgetbv", Mnemonic = "Xgetbv", Mode = Assist.Reports.CpuMode.Vm86, Registers = [new("eax", 1)], InstructionPointer = ulong.MaxValue };
        Assert.Equal(JsonSerializer.Serialize(opcode, FarmJson.Options), JsonSerializer.Serialize(opcode, OpcodeJson.Farm.UnsupportedOpcodeEvent));
    }

    private static void Collect(Type type, HashSet<Type> enums, HashSet<Type> seen)
    {
        if (!seen.Add(type))
            return;
        if (type.IsEnum)
            enums.Add(type);
        foreach (var argument in type.GetGenericArguments())
            Collect(argument, enums, seen);
        if (type.Namespace!.StartsWith("Farm", StringComparison.Ordinal))
        {
            foreach (var property in type.GetProperties())
                Collect(property.PropertyType, enums, seen);
        }
    }
}
