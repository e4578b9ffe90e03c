using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Farm.Contracts.Grains;
using Farm.Contracts.Jobs;
using Farm.Contracts.Live;
using Farm.Silo.Storage;

namespace Farm.Silo.Api;

/// <summary>Follows one run: a snapshot, then its changes, to its end.</summary>
internal static class RunFollower
{
    private const int Buffer = 256;
    private static readonly TimeSpan s_renewal = TimeSpan.FromSeconds(15);

    public static async IAsyncEnumerable<RunEvent> Follow(
        IGrainFactory grains, RunStore runs, RunInfo run, [EnumeratorCancellation] CancellationToken cancel)
    {
        var job = grains.GetGrain<IJobGrain>(run.JobId);
        var observer = new Observer(run.Id);
        var reference = grains.CreateObjectReference<IRunObserver>(observer);
        try
        {
            var seen = -1L;
            while (true)
            {
                await job.Watch(reference);
                // the first time round, and whenever a push may have been lost
                if (await job.Snapshot() is { } snapshot && snapshot.RunId == run.Id && snapshot.Sequence > seen && observer.TakeGap(seen))
                {
                    seen = snapshot.Sequence;
                    yield return snapshot;
                }
                else if (await runs.Find(run.Id, cancel) is { FinishedAt: not null })
                {
                    yield return await Ended(runs, run.Id, cancel);
                    yield break;
                }

                using var renewal = CancellationTokenSource.CreateLinkedTokenSource(cancel);
                renewal.CancelAfter(s_renewal);
                while (await observer.Next(renewal.Token) is { } change)
                {
                    if (change.Sequence <= seen)
                        continue;
                    seen = change.Sequence;
                    if (change.Finished is not null)
                    {
                        yield return await Ended(runs, run.Id, cancel);
                        yield break;
                    }
                    yield return change;
                }
                cancel.ThrowIfCancellationRequested();
            }
        }
        finally
        {
            await job.Unwatch(reference);
            grains.DeleteObjectReference<IRunObserver>(reference);
        }
    }

    /// <summary>The last event of a run, from what is kept of it: the same for a reader who came too late.</summary>
    private static async Task<RunEvent> Ended(RunStore runs, long runId, CancellationToken cancel)
    {
        var detail = (await runs.Detail(runId, cancel))!;
        return new()
        {
            RunId = runId,
            Sequence = long.MaxValue,
            Phases = detail.Phases,
            Screen = detail.Screen,
            Serial = detail.SerialTail,
            Progress = 1,
            Snapshot = true,
            GuestSeconds = detail.Report?.GuestSeconds ?? 0,
            Instructions = detail.Report?.Instructions ?? 0,
            Finished = detail.Run,
        };
    }

    private sealed class Observer(long runId) : IRunObserver
    {
        private readonly Channel<RunEvent> _changes = Channel.CreateBounded<RunEvent>(Buffer);
        private long _newest = -1;
        private bool _dropped = true;

        public Task OnRun(RunEvent change)
        {
            if (change.RunId == runId)
            {
                if (!_changes.Writer.TryWrite(change))
                    _dropped = true;
                _newest = Math.Max(_newest, change.Sequence);
            }
            return Task.CompletedTask;
        }

        /// <summary>Whether a snapshot is needed: at the start, after an overflow, or when pushes stopped coming.</summary>
        public bool TakeGap(long seen)
        {
            var gap = _dropped || _newest <= seen;
            _dropped = false;
            return gap;
        }

        /// <summary>The next change; null when the token is cancelled first.</summary>
        public async Task<RunEvent?> Next(CancellationToken cancel)
        {
            try
            {
                return await _changes.Reader.ReadAsync(cancel);
            }
            catch (OperationCanceledException)
            {
                return null;
            }
        }
    }
}
