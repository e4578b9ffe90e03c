using Farm.Machine.Storage;
using Farm.Machine.Time;

namespace Farm.Machine.Devices.Floppy;

/// <summary>Commands with an execution phase: one sector a step, by DMA or through the FIFO (82077AA, 5.1).</summary>
public sealed partial class FloppyController
{
    private const int SectorSize = 512;
    private const byte SizeCode = 2; // N of 512 bytes, the only sectors that images hold

    private readonly IClockTimer _step;
    private FloppyCommand _transfer;
    private bool _multiTrack;
    private bool _mfm;
    private bool _verifyCount;
    private int _commandDrive;
    private int _commandHead;
    private byte _cylinder;
    private byte _head;
    private byte _sector;
    private byte _size;
    private byte _endOfTrack;
    private int _sectorsLeft;
    private int _physicalSector;
    private Status1 _status1;
    private Status2 _status2;
    private long _overrunAt;

    private FifoState _fifoState;
    private int _fifoPosition;
    private int _fifoLength;

    private enum FifoState
    {
        Idle,
        ToHost,
        FromHost,

        /// <summary>The host has written a whole sector; it goes to the disk at the next step.</summary>
        Filled,
    }

    private bool Writing => _transfer is FloppyCommand.WriteData or FloppyCommand.WriteDeletedData or FloppyCommand.FormatTrack;

    private void StartTransfer()
    {
        byte first = _command[0];
        _transfer = (FloppyCommand)(first & 0x1F);
        _multiTrack = (first & 0x80) != 0;
        _mfm = (first & 0x40) != 0;
        _commandDrive = _command[1] & 3;
        _commandHead = (_command[1] >> 2) & 1;
        _verifyCount = (_command[1] & 0x80) != 0;
        _status1 = Status1.None;
        _status2 = Status2.None;
        _phase = Phase.Execution;
        _fifoState = FifoState.Idle;
        _resetStatuses = 0;
        foreach (SeekState seek in _seeks)
            seek.Pending = null; // what SENSE INTERRUPT STATUS did not fetch is lost
        SetInterrupt(false);
        int steps = 0;
        if (_transfer is FloppyCommand.FormatTrack or FloppyCommand.ReadId)
        {
            _cylinder = _seeks[_commandDrive].Cylinder;
            _head = (byte)_commandHead;
            _sector = 1;
            _size = SizeCode;
        }
        else
        {
            (_cylinder, _head, _sector, _size, _endOfTrack) = (_command[2], _command[3], _command[4], _command[5], _command[6]);
            _sectorsLeft = _verifyCount ? _command[8] : int.MaxValue;
            _physicalSector = 1;
            steps = FindCylinder(_commandDrive, _cylinder);
        }
        NextStep((_timing.StepNs * steps) + _timing.SectorNs);
    }

    private void NextStep(long delay)
    {
        _overrunAt = _clock.Now + delay + _timing.OverrunNs;
        _step.Arm(_clock.Now + delay);
    }

    private void OnStep(long deadline)
    {
        if (_phase != Phase.Execution)
            return;
        if (FindTrack() is not { } disk)
        {
            Terminate();
            return;
        }
        switch (_transfer)
        {
            case FloppyCommand.ReadId:
                _cylinder = (byte)_drives[_commandDrive]!.Track;
                _sector = (byte)(1 + (deadline / Math.Max(1, _timing.SectorNs) % disk.Format.SectorsPerTrack)); // the disk turns
                Terminate();
                break;
            case FloppyCommand.FormatTrack:
                Format(disk);
                break;
            case FloppyCommand.WriteData or FloppyCommand.WriteDeletedData:
                WriteSector(disk);
                break;
            default:
                ReadSector(disk);
                break;
        }
    }

    /// <summary>The disk, when the head reads a track of it; else null with the status set.</summary>
    private FloppyImage? FindTrack()
    {
        FloppyDrive? drive = _drives[_commandDrive];
        if (drive?.Disk is not { } disk)
        {
            _status1 |= Status1.MissingAddressMark;
            return null;
        }
        if (Writing && drive.WriteProtected)
        {
            _status1 |= Status1.NotWritable;
            return null;
        }
        bool readable = _mfm && drive.Track < disk.Format.Cylinders && _commandHead < disk.Format.Heads && RateFits(disk.Format.Density);
        if (!readable && _transfer != FloppyCommand.FormatTrack)
        {
            _status1 |= Status1.MissingAddressMark;
            return null;
        }
        return disk;
    }

    private bool RateFits(FloppyDensity density) => !_rateProgrammed || density switch
    {
        FloppyDensity.High => _dataRate == 0,
        FloppyDensity.Extra => _dataRate == 3,
        _ => _dataRate is 1 or 2, // 300 kbit/s at 360 rpm, 250 at 300: the same track
    };

    /// <summary>Where the addressed sector lies in the image; null with the status set when its ID is not on the track.</summary>
    private long? FindSector(FloppyImage disk)
    {
        int cylinder = _drives[_commandDrive]!.Track;
        bool found = _cylinder == cylinder && _head == _commandHead && _size == SizeCode && _sector >= 1 && _sector <= disk.Format.SectorsPerTrack;
        if (_transfer == FloppyCommand.ReadTrack)
        {
            // Sectors come in their order on the track; an ID that differs is only noted (5.1.4).
            if (!found)
                _status1 |= Status1.NoData;
            if (_physicalSector <= disk.Format.SectorsPerTrack)
                return SectorIndex(disk, cylinder, _commandHead, _physicalSector);
            _status1 |= Status1.MissingAddressMark;
            return null;
        }
        if (found)
            return SectorIndex(disk, cylinder, _commandHead, _sector);
        _status1 |= Status1.NoData;
        if (_cylinder != cylinder)
            _status2 |= _cylinder == 0xFF ? Status2.BadCylinder | Status2.WrongCylinder : Status2.WrongCylinder;
        return null;
    }

    private static long SectorIndex(FloppyImage disk, int cylinder, int head, int sector) =>
        ((((long)cylinder * disk.Format.Heads) + head) * disk.Format.SectorsPerTrack) + sector - 1;

    private void ReadSector(FloppyImage disk)
    {
        if (FindSector(disk) is not { } index)
        {
            Terminate();
            return;
        }
        disk.Image.Read(index, _fifo.AsSpan(0, SectorSize));
        if (_transfer == FloppyCommand.Verify)
        {
            _events?.Read(_units[_commandDrive], index, 1);
            EndSector(terminalCount: --_sectorsLeft <= 0);
            return;
        }
        if (_nonDma)
        {
            _events?.Read(_units[_commandDrive], index, 1);
            OpenFifo(FifoState.ToHost, SectorSize);
            return;
        }
        if (!DmaReady())
            return;
        _events?.Read(_units[_commandDrive], index, 1);
        int taken = _dma.WriteToMemory(_fifo.AsSpan(0, SectorSize), out bool terminalCount);
        if (taken < SectorSize && !terminalCount)
            Overrun();
        else
            EndSector(terminalCount);
    }

    private void WriteSector(FloppyImage disk)
    {
        if (FindSector(disk) is not { } index)
        {
            Terminate();
            return;
        }
        bool terminalCount = false;
        Span<byte> data = _fifo.AsSpan(0, SectorSize);
        if (_nonDma && _fifoState != FifoState.Filled)
        {
            OpenFifo(FifoState.FromHost, SectorSize);
            return;
        }
        if (!_nonDma)
        {
            if (!DmaReady())
                return;
            int got = _dma.ReadFromMemory(data, out terminalCount);
            if (got < SectorSize && !terminalCount)
            {
                Overrun();
                return;
            }
            data[Math.Clamp(got, 0, SectorSize)..].Clear(); // the rest of the sector is filled with zeros (5.1.2)
        }
        _fifoState = FifoState.Idle;
        disk.Image.Write(index, data);
        _events?.Written(_units[_commandDrive], index, data);
        EndSector(terminalCount);
    }

    /// <summary>
    /// FORMAT TRACK: the host gives C, H, R, N of each sector. An image keeps the layout of its format, so IDs that it cannot hold are
    /// lost, and the verify that follows a format finds them missing.
    /// </summary>
    private void Format(FloppyImage disk)
    {
        int length = _command[3] * 4;
        Span<byte> ids = _fifo.AsSpan(0, length);
        if (_nonDma && _fifoState != FifoState.Filled && length > 0)
        {
            OpenFifo(FifoState.FromHost, length);
            return;
        }
        if (!_nonDma && length > 0)
        {
            if (!DmaReady())
                return;
            int got = _dma.ReadFromMemory(ids, out _);
            ids = ids[..(Math.Clamp(got, 0, length) & ~3)];
        }
        if (!_seekUsed && !ids.IsEmpty)
            FindCylinder(_commandDrive, ids[0]);
        int cylinder = _drives[_commandDrive]!.Track;
        Span<byte> filler = stackalloc byte[SectorSize];
        filler.Fill(_command[5]);
        bool writable = _mfm && _command[2] == SizeCode && cylinder < disk.Format.Cylinders && _commandHead < disk.Format.Heads && RateFits(disk.Format.Density);
        for (; writable && !ids.IsEmpty; ids = ids[4..])
        {
            if (ids[0] != cylinder || ids[1] != _commandHead || ids[2] < 1 || ids[2] > disk.Format.SectorsPerTrack || ids[3] != SizeCode)
                continue;
            long index = SectorIndex(disk, cylinder, _commandHead, ids[2]);
            disk.Image.Write(index, filler);
            _events?.Written(_units[_commandDrive], index, filler);
        }
        Terminate();
    }

    /// <summary>False while the DMA channel is not programmed: tries again a little later, then reports an overrun.</summary>
    private bool DmaReady()
    {
        if (_dma.Ready && (_output & DigitalOutput.DmaGate) != 0)
            return true;
        if (_clock.Now >= _overrunAt)
            Overrun();
        else
            _step.Arm(Math.Min(_clock.Now + Math.Max(_timing.SectorNs, 100_000), _overrunAt));
        return false;
    }

    private void Overrun()
    {
        _status1 |= Status1.Overrun;
        Terminate();
    }

    private void OpenFifo(FifoState state, int length)
    {
        _fifoState = state;
        _fifoPosition = 0;
        _fifoLength = length;
        SetInterrupt(true);
    }

    private byte ReadData()
    {
        SetInterrupt(false);
        byte value = _fifo[_fifoPosition++];
        if (_fifoPosition == _fifoLength)
        {
            _fifoState = FifoState.Idle;
            EndSector(terminalCount: false);
        }
        return value;
    }

    private void WriteData(byte value)
    {
        SetInterrupt(false);
        _fifo[_fifoPosition++] = value;
        if (_fifoPosition != _fifoLength)
            return;
        _fifoState = FifoState.Filled;
        NextStep(_timing.SectorNs);
    }

    /// <summary>
    /// Moves the address on as in table 5-3: sector, then with multi-track the other head, then the cylinder. The command ends at terminal
    /// count, or behind the last sector with EN.
    /// </summary>
    private void EndSector(bool terminalCount)
    {
        bool lastOfTrack = _sector == _endOfTrack;
        bool lastOfCommand = lastOfTrack && !(_multiTrack && _commandHead == 0);
        if (_transfer == FloppyCommand.ReadTrack)
            lastOfCommand = ++_physicalSector > _endOfTrack;
        if (_transfer == FloppyCommand.ReadDeletedData)
        {
            _status2 |= Status2.ControlMark; // every sector has an ordinary data mark; without SK the first one ends the command
            terminalCount = true;
        }
        if (!lastOfTrack)
        {
            _sector++;
        }
        else
        {
            _sector = 1;
            if (_multiTrack)
            {
                _head ^= 1;
                if (_commandHead == 1)
                    _cylinder++;
                else if (!terminalCount)
                    _commandHead = 1;
            }
            else
            {
                _cylinder++;
            }
        }
        if (lastOfCommand && !terminalCount && _transfer is not (FloppyCommand.Verify or FloppyCommand.ReadTrack))
            _status1 |= Status1.EndOfCylinder;
        if (terminalCount || lastOfCommand)
            Terminate();
        else
            NextStep(_timing.SectorNs);
    }

    private void Terminate()
    {
        int status0 = _commandDrive | (_commandHead << 2);
        bool noted = _transfer == FloppyCommand.ReadTrack && _status1 == Status1.NoData; // does not end READ TRACK abnormally
        if (_status1 != Status1.None && !noted)
            status0 |= (int)Status0.AbnormalTermination;
        if (ImpliedSeek && _transfer is not (FloppyCommand.ReadId or FloppyCommand.FormatTrack))
            status0 |= (int)Status0.SeekEnd;
        EnterResultPhase([(byte)status0, (byte)_status1, (byte)_status2, _cylinder, _head, _sector, _size], interrupt: true);
    }
}
