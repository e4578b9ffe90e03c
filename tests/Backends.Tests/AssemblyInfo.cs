// One test at a time: the stand-in's complaints are the process's, and its processors want the host's time.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]
