using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Farm.Machine.Divergence;

/// <summary>Where two traces of one device part.</summary>
/// <param name="Stream">Name of the device.</param>
/// <param name="Alike">Events of the device that both have before it.</param>
/// <param name="First">The first event of A that B lacks; null: A has ended or goes on without it.</param>
/// <param name="Second">The first event of B that A lacks.</param>
/// <param name="Before">The last events that both have.</param>
/// <param name="FirstGoesOn">What A does from there, without what B does too.</param>
/// <param name="SecondGoesOn">What B does from there, without what A does too.</param>
/// <param name="Time">Guest time of the parting in A, for the order among devices: the two runs' clocks may have nothing to do with each other.</param>
public sealed record StreamDivergence(
    string Stream, long Alike, TraceEvent? First, TraceEvent? Second,
    IReadOnlyList<TraceEvent> Before, IReadOnlyList<TraceEvent> FirstGoesOn, IReadOnlyList<TraceEvent> SecondGoesOn, long Time);

/// <summary>
/// Compares two traces device by device. Interrupts come at other instructions in another run, so events of one device may change
/// places within <see cref="Window"/>; what finds no partner there is a divergence. Memory is bounded whatever the length.
/// </summary>
/// <param name="hostTime">
/// A run is on the host's time. Then a guest's own decisions depend on time (how often it reads a directory again, looks for a changed
/// floppy, retries), so what both have done before in the same way is no divergence when one does it once more; and one run may have come
/// further than the other when it ends.
/// </param>
internal sealed class TraceComparer(string first, string second, TraceNames names, bool hostTime = false)
{
    /// <summary>How far an event may be from its place.</summary>
    private const int Window = 32;

    /// <summary>Events kept while the other trace has not come as far.</summary>
    private const int MostWaiting = 1_000_000;

    /// <summary>Events read on after the first divergence: another device's may have come before it.</summary>
    private const int ReadOn = 50_000;

    private const int Context = 8;

    /// <summary>Matches kept, so that those before a divergence are still there when it is found.</summary>
    private const int KeptMatches = (4 * Window) + Context;

    /// <summary>Different events remembered of one device, as what both have done.</summary>
    private const int MostKnown = 200_000;

    private readonly Dictionary<ushort, Stream> _streams = [];
    private int _waiting;

    /// <summary>By device, what one run did more often than the other, or after the other's end, and was left out for that: only on the host's time.</summary>
    public IReadOnlyDictionary<string, (long First, long Second)> Surplus =>
        _streams.Where(static entry => entry.Value.Surplus != default).ToDictionary(entry => names[entry.Key], static entry => entry.Value.Surplus);

    /// <summary>The first divergence of each device that has one, earliest first; bounded by reading on a little after the first.</summary>
    public IReadOnlyList<StreamDivergence> Compare()
    {
        using var a = new Reader(first);
        using var b = new Reader(second);
        var found = new List<StreamDivergence>();
        int left = int.MaxValue;
        bool more = true;
        while (more && left > 0 && _waiting < MostWaiting)
        {
            more = false;
            if (a.TryRead(out var itemA))
            {
                more = true;
                Take(itemA, isFirst: true, found);
            }
            if (b.TryRead(out var itemB))
            {
                more = true;
                Take(itemB, isFirst: false, found);
            }
            left = found.Count > 0 ? Math.Min(left, ReadOn) - 1 : left;
        }
        foreach (var (number, stream) in _streams)
        {
            if (stream.Found is not null || !stream.PartsAtTheEnd)
                continue;
            stream.Forgive(atTheEnd: true);
            if (stream.PartsAtTheEnd)
                found.Add(stream.Part(names[number]));
        }
        return [.. found.OrderBy(static divergence => divergence.Time)];
    }

    private void Take(in TraceEvent item, bool isFirst, List<StreamDivergence> found)
    {
        if (!_streams.TryGetValue(item.Stream, out var stream))
            _streams.Add(item.Stream, stream = new Stream(hostTime));
        if (stream.Found is not null)
            return;
        int before = stream.Pending;
        stream.Take(item, isFirst);
        if (stream.Parts)
            stream.Forgive();
        if (stream.Parts)
            found.Add(stream.Part(names[item.Stream]));
        _waiting += stream.Pending - before;
    }

    /// <summary>One device's events in both traces that have no partner yet.</summary>
    private sealed class Stream(bool hostTime)
    {
        private readonly Side _first = new(), _second = new();
        private readonly Queue<(TraceEvent Item, long First, long Second)> _matched = new();
        private readonly HashSet<(TraceKind, ulong, ulong, uint, byte)> _known = [];
        private long _lastTime;

        public (long First, long Second) Surplus { get; private set; }

        public StreamDivergence? Found { get; private set; }

        public int Pending => _first.Waiting.Count + _second.Waiting.Count;

        /// <summary>Both have events without a partner, more than can have changed places; or one has none although plenty of later ones have.</summary>
        public bool Parts => (_first.Waiting.Count > 0 && _second.Waiting.Count > 0 && Math.Max(_first.Waiting.Count, _second.Waiting.Count) > Window)
            || _first.PassedBy > Window || _second.PassedBy > Window;

        /// <summary>As <see cref="Parts"/> when nothing follows; but the runs may end at different places, a few events apart.</summary>
        public bool PartsAtTheEnd => Pending > Window || _first.PassedBy > 0 || _second.PassedBy > 0
            || (_first.Waiting.Count > 0 && _second.Waiting.Count > 0);

        public void Take(in TraceEvent item, bool isFirst)
        {
            var own = isFirst ? _first : _second;
            var others = (isFirst ? _second : _first).Waiting;
            own.Read++;
            for (int i = 0; i < Math.Min(others.Count, Window); i++)
            {
                if (!others[i].Item.Matches(item))
                    continue;
                if (hostTime && _known.Count < MostKnown)
                    _known.Add(Key(item));
                _lastTime = isFirst ? item.Time : others[i].Item.Time;
                _matched.Enqueue(isFirst ? (item, own.Read, others[i].Number) : (item, others[i].Number, own.Read));
                if (_matched.Count > KeptMatches)
                    _matched.Dequeue();
                others.RemoveAt(i);
                return;
            }
            own.Waiting.Add((item, own.Read));
        }

        /// <summary>Leaves out what only repeats something that both have done, and at the end what one does after all that the other does.</summary>
        public void Forgive(bool atTheEnd = false)
        {
            if (!hostTime)
                return;
            Forget(item => _known.Contains(Key(item)));
            if (atTheEnd && (_first.Waiting.Count == 0 || _second.Waiting.Count == 0) && _first.PassedBy == 0 && _second.PassedBy == 0)
                Forget(static _ => true);
        }

        private void Forget(Func<TraceEvent, bool> which) =>
            Surplus = (Surplus.First + _first.Forget(which), Surplus.Second + _second.Forget(which));

        private static (TraceKind, ulong, ulong, uint, byte) Key(in TraceEvent item) => (item.Kind, item.Address, item.Value, item.Count, item.Size);

        public StreamDivergence Part(string name)
        {
            // A side that has matched everything it came by merely waits for the other.
            bool firstLags = _first.PassedBy == 0 && _second.PassedBy > 0, secondLags = _second.PassedBy == 0 && _first.PassedBy > 0;
            var first = firstLags ? [] : _first.Waiting;
            var second = secondLags ? [] : _second.Waiting;
            long placeA = first.Count > 0 ? first[0].Number : long.MaxValue, placeB = second.Count > 0 ? second[0].Number : long.MaxValue;
            var before = _matched.Where(match => match.First < placeA && match.Second < placeB).Select(static match => match.Item).TakeLast(Context);
            return Found = new(name, Math.Min(placeA, placeB) - 1, Oldest(first), Oldest(second), [.. before], Next(first), Next(second), Oldest(first)?.Time ?? _lastTime);
        }

        private static TraceEvent? Oldest(List<(TraceEvent Item, long Number)> waiting) => waiting.Count > 0 ? waiting[0].Item : null;

        private static List<TraceEvent> Next(List<(TraceEvent Item, long Number)> waiting) => [.. waiting.Take(Context).Select(static entry => entry.Item)];
    }

    /// <summary>One trace's part of a stream.</summary>
    private sealed class Side
    {
        /// <summary>Events without a partner, with their numbers.</summary>
        public List<(TraceEvent Item, long Number)> Waiting { get; } = [];

        /// <summary>Events so far.</summary>
        public long Read { get; set; }

        /// <summary>Drops waiting events as if they had never been read. Returns their number.</summary>
        public int Forget(Func<TraceEvent, bool> which)
        {
            int gone = 0;
            for (int i = Waiting.Count - 1; i >= 0; i--)
            {
                if (which(Waiting[i].Item))
                {
                    Waiting.RemoveAt(i);
                    gone++;
                }
                else
                {
                    Waiting[i] = (Waiting[i].Item, Waiting[i].Number + gone);
                }
            }
            return gone;
        }

        /// <summary>Events after the oldest waiting one that have found partners.</summary>
        public long PassedBy => Waiting.Count == 0 ? 0 : Read - Waiting[0].Number - (Waiting.Count - 1);
    }

    private sealed class Reader(string path) : IDisposable
    {
        private readonly FileStream _file = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);

        public bool TryRead(out TraceEvent item)
        {
            Unsafe.SkipInit(out item);
            var bytes = MemoryMarshal.AsBytes(new Span<TraceEvent>(ref item));
            return _file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false) == bytes.Length;
        }

        public void Dispose() => _file.Dispose();
    }
}
