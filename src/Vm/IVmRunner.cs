using Farm.Contracts;
using Farm.Contracts.Jobs;

namespace Farm.Vm;

/// <summary>
/// Runs one VM in the child process. Whatever the guest does ends in a report with health Ok; an exception means that this host
/// could not run it, which is infrastructure trouble.
/// </summary>
public interface IVmRunner
{
    /// <param name="cancel">The worker is gone: stop soon, the report is lost anyway.</param>
    Task<RunReport> Run(VmJob job, IVmEvents events, CancellationToken cancel);
}

/// <summary>Where a run tells what happens. Calls may come from any thread.</summary>
public interface IVmEvents
{
    /// <summary>The VM has started, on this stack (backend resolved, build named).</summary>
    void Started(StackSpec stack);
    void Progress(VmProgress progress);
    void Artifact(VmArtifact artifact);
}
