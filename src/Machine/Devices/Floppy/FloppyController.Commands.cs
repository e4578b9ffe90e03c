using Farm.Machine.Time;

namespace Farm.Machine.Devices.Floppy;

/// <summary>Command decoding, control commands, seeking (82077AA, clause 5).</summary>
public sealed partial class FloppyController
{
    private readonly SeekState[] _seeks = new SeekState[4];
    private readonly IClockTimer _resetTimer;
    private int _resetStatuses;
    private byte _stepRate;
    private byte _headLoad;
    private bool _nonDma;
    private byte _configuration;
    private byte _precompensation;
    private byte _perpendicular;
    private bool _locked;
    private bool _seekUsed;

    private bool ImpliedSeek => (_configuration & 0x40) != 0;

    private sealed class SeekState(IClockTimer timer)
    {
        public IClockTimer Timer { get; } = timer;

        /// <summary>PCN: where the controller believes the head to be.</summary>
        public byte Cylinder { get; set; }

        public bool Busy { get; set; }

        /// <summary>ST0 once the seek is over, to be fetched by SENSE INTERRUPT STATUS.</summary>
        public Status0? Pending { get; set; }

        public Status0 Outcome { get; set; }
    }

    /// <summary>Bytes in the command phase; what is no command of the 82077AA takes one and answers ST0 = 80h.</summary>
    private static int LengthOf(byte first) => Decode(first) switch
    {
        FloppyCommand.ReadData or FloppyCommand.ReadDeletedData or FloppyCommand.WriteData or FloppyCommand.WriteDeletedData
            or FloppyCommand.ReadTrack or FloppyCommand.Verify => 9,
        FloppyCommand.FormatTrack => 6,
        FloppyCommand.Configure => 4,
        FloppyCommand.Specify or FloppyCommand.Seek => 3,
        FloppyCommand.Recalibrate or FloppyCommand.SenseDriveStatus or FloppyCommand.ReadId or FloppyCommand.PerpendicularMode => 2,
        _ => 1,
    };

    /// <summary>The command in a first byte, null when its upper bits do not belong to it.</summary>
    private static FloppyCommand? Decode(byte first)
    {
        var command = (FloppyCommand)(first & 0x1F);
        int allowed = command switch
        {
            FloppyCommand.ReadData or FloppyCommand.ReadDeletedData or FloppyCommand.Verify => 0xE0,
            FloppyCommand.WriteData or FloppyCommand.WriteDeletedData => 0xC0,
            FloppyCommand.ReadTrack or FloppyCommand.ReadId or FloppyCommand.FormatTrack => 0x40,
            FloppyCommand.Seek => 0xC0,
            FloppyCommand.Lock => 0x80,
            FloppyCommand.Specify or FloppyCommand.SenseDriveStatus or FloppyCommand.Recalibrate or FloppyCommand.SenseInterruptStatus
                or FloppyCommand.DumpRegisters or FloppyCommand.Version or FloppyCommand.PerpendicularMode or FloppyCommand.Configure => 0,
            _ => -1,
        };
        if (allowed < 0 || (first & 0xE0 & ~allowed) != 0)
            return null;
        return command == FloppyCommand.Seek && (first & 0xC0) == 0x40 ? null : command;
    }

    private void Execute()
    {
        byte first = _command[0];
        switch (Decode(first))
        {
            case FloppyCommand.ReadData or FloppyCommand.ReadDeletedData or FloppyCommand.WriteData or FloppyCommand.WriteDeletedData
                or FloppyCommand.ReadTrack or FloppyCommand.Verify or FloppyCommand.FormatTrack or FloppyCommand.ReadId:
                StartTransfer();
                break;
            case FloppyCommand.Specify:
                _stepRate = _command[1];
                _headLoad = _command[2];
                _nonDma = (_command[2] & 1) != 0;
                EnterCommandPhase();
                break;
            case FloppyCommand.SenseDriveStatus:
                EnterResultPhase([SenseDrive()], interrupt: false);
                break;
            case FloppyCommand.Recalibrate:
                Recalibrate(_command[1] & 3);
                break;
            case FloppyCommand.Seek:
                Seek(_command[1] & 3, (_command[1] & 4) != 0);
                break;
            case FloppyCommand.SenseInterruptStatus:
                SenseInterrupt();
                break;
            case FloppyCommand.DumpRegisters:
                EnterResultPhase(
                    [_seeks[0].Cylinder, _seeks[1].Cylinder, _seeks[2].Cylinder, _seeks[3].Cylinder, _stepRate, _headLoad, _endOfTrack,
                    (byte)((_locked ? 0x80 : 0) | (_perpendicular & 0x3F)), _configuration, _precompensation],
                    interrupt: false);
                break;
            case FloppyCommand.Version:
                EnterResultPhase([0x90], interrupt: false); // an enhanced controller
                break;
            case FloppyCommand.PerpendicularMode:
                _perpendicular = (_command[1] & 0x80) != 0 ? (byte)(_command[1] & 0x3F) : (byte)((_perpendicular & 0x3C) | (_command[1] & 0x03));
                EnterCommandPhase();
                break;
            case FloppyCommand.Configure:
                _configuration = (byte)(_command[2] & 0x7F);
                _precompensation = _command[3];
                EnterCommandPhase();
                break;
            case FloppyCommand.Lock:
                _locked = (first & 0x80) != 0;
                EnterResultPhase([(byte)(_locked ? 0x10 : 0)], interrupt: false);
                break;
            default:
                EnterResultPhase([(byte)Status0.InvalidCommand], interrupt: false);
                break;
        }
    }

    /// <summary>ST3.</summary>
    private byte SenseDrive()
    {
        FloppyDrive? drive = _drives[_command[1] & 3];
        int status = 0x28 | (_command[1] & 7);
        if (drive is { WriteProtected: true })
            status |= 0x40;
        if (drive is { Cylinder: 0 })
            status |= 0x10;
        return (byte)status;
    }

    private void SenseInterrupt()
    {
        if (_resetStatuses > 0)
        {
            int drive = 4 - _resetStatuses--;
            SetInterrupt(false);
            EnterResultPhase([(byte)((int)Status0.AbnormalPolling | drive), _seeks[drive].Cylinder], interrupt: false);
            return;
        }
        foreach (SeekState seek in _seeks)
        {
            if (seek.Pending is not { } status)
                continue;
            seek.Pending = null;
            SetInterrupt(false);
            EnterResultPhase([(byte)status, seek.Cylinder], interrupt: false);
            return;
        }
        EnterResultPhase([(byte)Status0.InvalidCommand], interrupt: false);
    }

    private void Recalibrate(int index)
    {
        // 80 step pulses at most; a drive that is not there never shows track 0 (82077AA, 5.2.4).
        SeekState seek = _seeks[index];
        FloppyDrive? drive = _drives[index];
        int steps = drive is null ? 80 : Math.Min(80, drive.Cylinder);
        drive?.Step(-steps);
        seek.Cylinder = 0;
        seek.Outcome = Status0.SeekEnd | (drive is { Cylinder: 0 } ? 0 : Status0.AbnormalTermination | Status0.EquipmentCheck) | (Status0)index;
        StartSeek(seek, steps);
    }

    private void Seek(int index, bool head)
    {
        SeekState seek = _seeks[index];
        int target = _command[2];
        if ((_command[0] & 0x80) != 0) // relative: the direction is in bit 6
            target = Math.Clamp((_command[0] & 0x40) != 0 ? seek.Cylinder + target : seek.Cylinder - target, 0, 255);
        int steps = target - seek.Cylinder; // counted from where the controller believes the head to be
        seek.Cylinder = (byte)target;
        _drives[index]?.Step(steps);
        _seekUsed = true;
        seek.Outcome = Status0.SeekEnd | (head ? Status0.HeadAddress : 0) | (Status0)index;
        StartSeek(seek, Math.Abs(steps));
    }

    /// <summary>Puts the head on a track for a transfer; returns the number of steps.</summary>
    private int FindCylinder(int index, byte track)
    {
        if (_drives[index] is not { } drive || drive.Track == track)
            return 0;
        int steps = drive.Step((track * drive.StepsPerTrack) - drive.Cylinder);
        _seeks[index].Cylinder = (byte)drive.Cylinder;
        return steps;
    }

    private void StartSeek(SeekState seek, int steps)
    {
        seek.Busy = true;
        seek.Pending = null;
        seek.Timer.Arm(_clock.Now + (_timing.StepNs * (steps + 1)));
        EnterCommandPhase();
    }

    private void SeekDone(int index)
    {
        SeekState seek = _seeks[index];
        seek.Busy = false;
        seek.Pending = seek.Outcome;
        _resetStatuses = 0; // what nobody fetched after the reset is lost with the next event
        if (_phase == Phase.Command)
            SetInterrupt(true);
    }

    /// <summary>A seek that ended while a result was waiting interrupts when that has been fetched.</summary>
    private void RaiseNextSeek()
    {
        if (_interruptPending)
            return;
        foreach (SeekState seek in _seeks)
        {
            if (seek.Pending is not null)
            {
                SetInterrupt(true);
                return;
            }
        }
    }
}
