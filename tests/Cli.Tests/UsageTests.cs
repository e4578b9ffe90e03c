namespace Farm.Cli.Tests;

/// <summary>What the command says where there is no farm, or nothing sensible to do.</summary>
public sealed class UsageTests : IDisposable
{
    private readonly FarmCommand _farm = new();

    public void Dispose() => _farm.Dispose();

    [Fact]
    public async Task Help_names_every_verb()
    {
        string help = (await _farm.Run("help")).Succeeds();
        foreach (string verb in new[] { "up", "boot", "run", "matrix", "jobs", "job", "triage", "workers", "guests", "media", "logs", "rerun", "cancel", "silo", "worker", "dashboard", "diverge" })
            Assert.Matches($@"(?m)^ +{verb}\b", help);
        Assert.DoesNotContain("vm-run", help, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("matrix")]
    [InlineData("run hello")]
    [InlineData("cancel 1")]
    public async Task Without_a_farm_a_client_verb_exits_3_and_says_so(string arguments) =>
        (await _farm.Run([.. arguments.Split(' '), "--server", "http://127.0.0.1:1"])).Fails(3, "No farm answers at http://127.0.0.1:1", "farm up");

    [Theory]
    [InlineData("frobnicate", "frobnicate")]
    [InlineData("matrix --server ftp://x", "--server")]
    [InlineData("up --port 70000", "--port")]
    [InlineData("up --slots 0", "--slots")]
    [InlineData("up --media nowhere", "nowhere")]
    [InlineData("up --backend bochs", "--backend")]
    [InlineData("silo", "--postgres")]
    [InlineData("silo --postgres x --listen nowhere", "--listen")]
    [InlineData("silo --postgres x --advertise 0.0.0.0", "nobody can be reached there")]
    [InlineData("up --listen 0.0.0.0 --advertise nowhere", "--advertise")]
    [InlineData("up --gateway-port 70000", "--gateway-port")]
    [InlineData("worker --media-cache -1", "--media-cache")]
    [InlineData("worker --gateway nowhere", "--gateway")]
    [InlineData("worker --slots 1000", "--slots")]
    public async Task Bad_usage_exits_2_and_says_what_is_wrong(string arguments, string word) => (await _farm.Run(arguments.Split(' '))).Fails(2, word);

    [Fact]
    public async Task A_bad_guest_file_exits_2_with_file_and_line()
    {
        _farm.Write("guests/broken.yaml", "id: broken\nname: Broken\nfamily: test\nmemory: lots\n");
        (await _farm.Run("up", "--port", "0")).Fails(2, "broken.yaml", "memory");
        (await _farm.Run("media", "list")).Fails(2, "broken.yaml");
    }

    [Fact]
    public async Task A_database_that_does_not_answer_exits_3() =>
        (await _farm.Run("up", "--port", "0", "--postgres", "Host=127.0.0.1;Port=1;Database=farm;Username=farm;Timeout=2")).Fails(3, "127.0.0.1");
}
