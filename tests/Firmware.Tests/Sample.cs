namespace Farm.Firmware.Tests;

/// <summary>Made-up payloads with recognisable contents.</summary>
internal static class Sample
{
    public static byte[] Bytes(int size, int seed)
    {
        byte[] bytes = new byte[size];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public static FirmwareSet Firmware(int biosSize) => new(
        "sample",
        new Payload("bios", PayloadRole.Bios, "bios", "1", Bytes(biosSize, 1)),
        [
            new Payload("std", PayloadRole.VgaBiosStandard, "std", "1", Bytes(38400, 2)),
            new Payload("cirrus", PayloadRole.VgaBiosCirrus, "cirrus", "1", Bytes(33281, 3)),
        ]);
}
