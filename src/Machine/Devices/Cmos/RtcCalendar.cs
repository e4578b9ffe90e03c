namespace Farm.Machine.Devices.Cmos;

/// <summary>The MC146818's ten time, calendar and alarm bytes in their four formats (BCD or binary, 12 or 24 hours).</summary>
internal static class RtcCalendar
{
    private const int Pm = 0x80;

    public static bool IsTime(int address) =>
        address is CmosAddress.Seconds or CmosAddress.Minutes or CmosAddress.Hours or (>= CmosAddress.DayOfWeek and <= CmosAddress.Year);

    public static byte Read(int address, DateTime calendar, int weekdayOffset, RegisterB format) => address switch
    {
        CmosAddress.Seconds => Encode(calendar.Second, format),
        CmosAddress.Minutes => Encode(calendar.Minute, format),
        CmosAddress.Hours => EncodeHour(calendar.Hour, format),
        CmosAddress.DayOfWeek => Encode((((int)calendar.DayOfWeek + weekdayOffset) % 7 + 7) % 7 + 1, format),
        CmosAddress.DayOfMonth => Encode(calendar.Day, format),
        CmosAddress.Month => Encode(calendar.Month, format),
        _ => Encode(calendar.Year % 100, format),
    };

    /// <summary>
    /// The calendar after one of its bytes was written; values out of range are clamped. <paramref name="wantedDay"/> remembers a
    /// day that becomes valid only with the month or year written after it.
    /// </summary>
    public static DateTime Write(int address, byte value, DateTime calendar, ref int wantedDay, RegisterB format)
    {
        int number = Decode(value, format);
        int year = calendar.Year, month = calendar.Month, day = Wanted(calendar, wantedDay);
        int hour = calendar.Hour, minute = calendar.Minute, second = calendar.Second;
        switch (address)
        {
            case CmosAddress.Seconds: second = Math.Min(number, 59); break;
            case CmosAddress.Minutes: minute = Math.Min(number, 59); break;
            case CmosAddress.Hours: hour = DecodeHour(value, format); break;
            case CmosAddress.DayOfMonth: day = wantedDay = number; break;
            case CmosAddress.Month: month = Math.Clamp(number, 1, 12); break;
            case CmosAddress.Year: year = year / 100 * 100 + number % 100; break;
        }
        return Compose(year, month, day, hour, minute, second, calendar);
    }

    public static DateTime WithCentury(DateTime calendar, byte century, int wantedDay)
    {
        int hundreds = (century >> 4) % 10 * 10 + (century & 15) % 10;
        return Compose(hundreds * 100 + calendar.Year % 100, calendar.Month, Wanted(calendar, wantedDay),
            calendar.Hour, calendar.Minute, calendar.Second, calendar);
    }

    public static bool AlarmMatches(ReadOnlySpan<byte> nvram, DateTime calendar, RegisterB format)
    {
        const int dontCare = 0xC0;
        byte hour = nvram[CmosAddress.HoursAlarm], minute = nvram[CmosAddress.MinutesAlarm], second = nvram[CmosAddress.SecondsAlarm];
        return (hour >= dontCare || hour == EncodeHour(calendar.Hour, format))
            && (minute >= dontCare || minute == Encode(calendar.Minute, format))
            && (second >= dontCare || second == Encode(calendar.Second, format));
    }

    public static byte Bcd(int value) => (byte)(value / 10 % 10 << 4 | value % 10);

    /// <summary>The day written last, if the calendar still stands on the day it was clamped to.</summary>
    private static int Wanted(DateTime calendar, int wantedDay) =>
        calendar.Day == Math.Min(wantedDay, DateTime.DaysInMonth(calendar.Year, calendar.Month)) ? wantedDay : calendar.Day;

    private static DateTime Compose(int year, int month, int day, int hour, int minute, int second, DateTime fraction)
    {
        year = Math.Clamp(year, 1, 9998);
        day = Math.Clamp(day, 1, DateTime.DaysInMonth(year, month));
        return new DateTime(year, month, day, hour, minute, second, DateTimeKind.Utc).AddTicks(fraction.Ticks % TimeSpan.TicksPerSecond);
    }

    private static byte Encode(int value, RegisterB format) => (format & RegisterB.DM) != 0 ? (byte)value : Bcd(value);

    private static int Decode(byte value, RegisterB format) => (format & RegisterB.DM) != 0 ? value : (value >> 4) * 10 + (value & 15);

    private static byte EncodeHour(int hour, RegisterB format)
    {
        if ((format & RegisterB.Hour24) != 0)
            return Encode(hour, format);
        return (byte)(Encode(hour % 12 == 0 ? 12 : hour % 12, format) | (hour >= 12 ? Pm : 0));
    }

    private static int DecodeHour(byte value, RegisterB format)
    {
        if ((format & RegisterB.Hour24) != 0)
            return Math.Min(Decode(value, format), 23);
        int hour = Decode((byte)(value & 0x7F), format) % 12;
        return hour + ((value & Pm) != 0 ? 12 : 0);
    }
}
