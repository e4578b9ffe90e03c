using Farm.Assist.Cpu;

namespace Farm.Assist.Tests.Cpu;

public class LazyFlagsTests
{
    [Fact]
    public void Every_combination_of_the_six_flags_survives_a_round_trip()
    {
        using var machine = new TestMachine();
        for (uint i = 0; i < 64; i++)
        {
            uint flags = 2 | (i & 1) | ((i >> 1 & 1) << 2) | ((i >> 2 & 1) << 4) | ((i >> 3 & 1) << 6) | ((i >> 4 & 1) << 7) | ((i >> 5 & 1) << 11);
            machine.Cpu.Flags = flags;
            Assert.Equal(flags, machine.Cpu.Flags);
            bool cf = machine.Cpu.Cf, of = machine.Cpu.Of, zf = machine.Cpu.Zf, af = machine.Cpu.Af;
            machine.Cpu.Cf = !cf;
            Assert.Equal(flags ^ Eflags.CF, machine.Cpu.Flags);
            machine.Cpu.Cf = cf;
            machine.Cpu.Of = !of;
            Assert.Equal(flags ^ Eflags.OF, machine.Cpu.Flags);
            machine.Cpu.Of = of;
            machine.Cpu.Zf = !zf;
            Assert.Equal(flags ^ Eflags.ZF, machine.Cpu.Flags);
            machine.Cpu.Zf = zf;
            machine.Cpu.Af = !af;
            Assert.Equal(flags ^ Eflags.AF, machine.Cpu.Flags);
        }
    }

    [Fact]
    public void All_byte_additions_and_subtractions_give_the_flags_of_the_definition()
    {
        using var machine = new TestMachine();
        for (int a = 0; a < 256; a++)
        {
            for (int b = 0; b < 256; b++)
            {
                for (int carry = 0; carry < 2; carry++)
                {
                    byte sum = (byte)(a + b + carry), difference = (byte)(a - b - carry);
                    machine.Cpu.SetAdd((byte)a, (byte)b, sum);
                    int signed = (sbyte)a + (sbyte)b + carry;
                    Assert.Equal(Expected(sum, a + b + carry > 255, (a & 15) + (b & 15) + carry > 15, signed is < -128 or > 127), machine.Cpu.ArithmeticFlags);
                    machine.Cpu.SetSub((byte)a, (byte)b, difference);
                    signed = (sbyte)a - (sbyte)b - carry;
                    Assert.Equal(Expected(difference, a - b - carry < 0, (a & 15) - (b & 15) - carry < 0, signed is < -128 or > 127), machine.Cpu.ArithmeticFlags);
                }
            }
        }
    }

    [Fact]
    public void Wider_operands_derive_carry_overflow_and_sign_from_their_own_top_bit()
    {
        using var machine = new TestMachine();
        machine.Cpu.SetAdd<ushort>(0x7FFF, 1, 0x8000);
        Assert.Equal(Eflags.OF | Eflags.SF | Eflags.AF | Eflags.PF, machine.Cpu.ArithmeticFlags);
        machine.Cpu.SetAdd(0xFFFFFFFFu, 1u, 0u);
        Assert.Equal(Eflags.CF | Eflags.ZF | Eflags.AF | Eflags.PF, machine.Cpu.ArithmeticFlags);
        machine.Cpu.SetSub(0ul, 1ul, ulong.MaxValue);
        Assert.Equal(Eflags.CF | Eflags.SF | Eflags.AF | Eflags.PF, machine.Cpu.ArithmeticFlags);
        machine.Cpu.SetSub(0x8000000000000000ul, 1ul, 0x7FFFFFFFFFFFFFFFul);
        Assert.Equal(Eflags.OF | Eflags.AF | Eflags.PF, machine.Cpu.ArithmeticFlags);
    }

    [Fact]
    public void Inc_and_dec_keep_carry()
    {
        using var machine = new TestMachine();
        machine.Cpu.Cf = true;
        machine.Cpu.SetInc((byte)0x80);
        Assert.Equal(Eflags.CF | Eflags.OF | Eflags.SF | Eflags.AF, machine.Cpu.ArithmeticFlags);
        machine.Cpu.SetDec(0x7FFFFFFFu);
        Assert.Equal(Eflags.CF | Eflags.OF | Eflags.AF | Eflags.PF, machine.Cpu.ArithmeticFlags);
        machine.Cpu.Cf = false;
        machine.Cpu.SetInc((ushort)0);
        Assert.Equal(Eflags.ZF | Eflags.AF | Eflags.PF, machine.Cpu.ArithmeticFlags);
    }

    [Fact]
    public void Conditions_follow_the_flags()
    {
        using var machine = new TestMachine();
        for (uint i = 0; i < 64; i++)
        {
            bool cf = (i & 1) != 0, pf = (i & 2) != 0, zf = (i & 8) != 0, sf = (i & 16) != 0, of = (i & 32) != 0;
            machine.Cpu.Flags = 2 | (cf ? Eflags.CF : 0) | (pf ? Eflags.PF : 0) | (zf ? Eflags.ZF : 0) | (sf ? Eflags.SF : 0) | (of ? Eflags.OF : 0);
            bool[] even = [of, cf, zf, cf || zf, sf, pf, sf != of, zf || sf != of];
            for (int cc = 0; cc < 16; cc++)
                Assert.Equal(even[cc >> 1] != ((cc & 1) != 0), machine.Cpu.Condition(cc));
        }
    }

    private static uint Expected(byte result, bool carry, bool half, bool overflow) =>
        (carry ? Eflags.CF : 0) | (half ? Eflags.AF : 0) | (overflow ? Eflags.OF : 0) | (result == 0 ? Eflags.ZF : 0)
        | (result >= 0x80 ? Eflags.SF : 0) | ((System.Numerics.BitOperations.PopCount(result) & 1) == 0 ? Eflags.PF : 0);
}
