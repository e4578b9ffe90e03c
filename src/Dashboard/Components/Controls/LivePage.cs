using Farm.Contracts.Api;
using Farm.Contracts.Live;
using Farm.Dashboard.Model;
using Microsoft.AspNetCore.Components;

namespace Farm.Dashboard.Components.Controls;

/// <summary>
/// A page that reads something once and keeps it true by the event feed. Events are coalesced: at most one render per
/// <see cref="RenderEvery"/>, however many arrive.
/// </summary>
public abstract class LivePage : ComponentBase, IDisposable
{
    private static readonly TimeSpan RenderEvery = TimeSpan.FromMilliseconds(100);
    private const int MostMeanwhile = 1000;
    private readonly CancellationTokenSource _gone = new();
    private readonly List<FarmEvent> _meanwhile = [];
    private IDisposable? _subscription;
    private ITimer? _timer;
    private int _dirty;
    private int _stale;
    private Task _reading = Task.CompletedTask;
    private bool _again;
    private bool _busy;

    [Inject]
    protected IFarm Farm { get; set; } = null!;

    [Inject]
    protected LiveFeed Feed { get; set; } = null!;

    [Inject]
    protected TimeProvider Time { get; set; } = null!;

    protected CancellationToken Gone => _gone.Token;

    /// <summary>Set when the last read failed: one sentence for the reader.</summary>
    protected string? Failure { get; private set; }

    /// <summary>The page is prerendered: its controls are disabled, for nobody would hear them.</summary>
    protected bool Inert => !RendererInfo.IsInteractive;

    /// <summary>Reads everything the page shows.</summary>
    protected abstract Task Load();

    /// <summary>Lays one event over what is shown; false asks for <see cref="Load"/>. Called on the renderer's thread.</summary>
    protected abstract bool Apply(FarmEvent change);

    /// <summary>Before the first read: an event between a read and the subscription would never be seen.</summary>
    protected override void OnInitialized() => _subscription = Feed.Subscribe(change => _ = InvokeAsync(() => OnEvent(change)));

    protected override Task OnParametersSetAsync() => Reload();

    protected override void OnAfterRender(bool firstRender)
    {
        if (firstRender)
            _timer = Time.CreateTimer(_ => _ = InvokeAsync(Tick), null, RenderEvery, RenderEvery);
    }

    /// <summary>One read at a time, or an older one could come in last and stay: what is asked for meanwhile is read next.</summary>
    protected Task Reload()
    {
        _again = true;
        return _reading.IsCompleted ? _reading = Read() : _reading;
    }

    private async Task Read()
    {
        while (_again)
        {
            _again = false;
            try
            {
                await Load();
                Failure = null;
            }
            catch (FarmException e)
            {
                Failure = e.Message;
            }
            catch (OperationCanceledException) when (Gone.IsCancellationRequested)
            {
                return; // the page is closed
            }
        }
        // what was read may be older than these
        foreach (var change in _meanwhile)
            Lay(change);
        _meanwhile.Clear();
    }

    /// <summary>Runs a user's action; a refusal is shown instead of breaking the page.</summary>
    protected async Task Act(Func<Task> action)
    {
        try
        {
            await action();
            Failure = null;
        }
        catch (FarmException e)
        {
            Failure = e.Message;
        }
    }

    protected void Invalidate() => _dirty = 1;

    private void OnEvent(FarmEvent change)
    {
        if (_reading.IsCompleted)
            Lay(change);
        else if (_meanwhile.Count < MostMeanwhile)
            _meanwhile.Add(change);
        else
            _stale = 1;
    }

    private void Lay(FarmEvent change)
    {
        if (!Apply(change))
            _stale = 1;
        _dirty = 1;
    }

    private async Task Tick()
    {
        if (_dirty == 0 || _busy || Gone.IsCancellationRequested)
            return;
        _busy = true;
        _dirty = 0;
        try
        {
            if (Interlocked.Exchange(ref _stale, 0) == 1)
                await Reload();
            StateHasChanged();
        }
        finally
        {
            _busy = false;
        }
    }

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        if (_gone.IsCancellationRequested)
            return;
        _gone.Cancel();
        _subscription?.Dispose();
        _timer?.Dispose();
        _gone.Dispose();
    }
}
