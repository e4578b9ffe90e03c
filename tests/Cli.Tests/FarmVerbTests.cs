using System.Text.Json;

namespace Farm.Cli.Tests;

/// <summary>The verbs of a client, against roles in processes of their own.</summary>
public sealed class FarmVerbTests(SeveralMachines machines) : IClassFixture<SeveralMachines>
{
    [Fact]
    public async Task A_run_goes_through_and_every_list_shows_it()
    {
        var jobs = Json((await machines.Run("run", "hello", "--kind", "disk", "--wait", "--json")).Succeeds());
        var job = Assert.Single(jobs.EnumerateArray());
        Assert.Equal("pass", job.GetProperty("outcome").GetString());
        string id = job.GetProperty("id").ToString();

        Assert.Matches(@"hello +hello +- +Yes +soft/vm86/bochs", (await machines.Run("matrix")).Succeeds());
        Assert.Matches($@"{id} +hello +disk +auto/vm86/bochs +pass +node-1", (await machines.Run("jobs")).Succeeds());
        Assert.Contains("node-1", (await machines.Run("job", id)).Succeeds(), StringComparison.Ordinal);
        Assert.Contains("hello, farm", (await machines.Run("logs", id)).Succeeds(), StringComparison.Ordinal);
        Assert.Contains("soft", (await machines.Run("workers")).Succeeds(), StringComparison.Ordinal);
        Assert.Contains("absent", (await machines.Run("guests")).Succeeds(), StringComparison.Ordinal);

        Assert.Equal(3, Json((await machines.Run("matrix", "--json")).Succeeds()).GetProperty("rows").GetArrayLength());
        Assert.NotEqual(0, Json((await machines.Run("jobs", "--json")).Succeeds()).GetArrayLength());
        Assert.Equal("hello", Json((await machines.Run("job", id, "--json")).Succeeds()).GetProperty("job").GetProperty("guestId").GetString());
        Assert.Equal(4, Json((await machines.Run("logs", id, "--json")).Succeeds()).GetProperty("artifacts").GetArrayLength() + 1);
        Assert.Equal("node-1", Json((await machines.Run("workers", "--json")).Succeeds())[0].GetProperty("id").GetString());
        Assert.Equal(3, Json((await machines.Run("guests", "--json")).Succeeds()).GetArrayLength());
        Assert.Equal(0, Json((await machines.Run("triage", "--json")).Succeeds()).GetArrayLength());
        Assert.Equal(3, Json((await machines.Run("media", "list", "--json")).Succeeds()).GetArrayLength());

        Assert.Matches(@"hello +disk +Yes +\(-\) +first only", (await machines.Run("compare", "soft/vm86", "soft/native")).Succeeds());
        Assert.Equal("same", Json((await machines.Run("compare", "soft", "/vm86", "--all", "--json")).Succeeds()).EnumerateArray().Single(cell => cell.GetProperty("guestId").GetString() == "hello").GetProperty("change").GetString());
        (await machines.Run("compare", "soft", "softly")).Fails(2, "softly");

        // done is done: a finished job is not cancelled, but it can run again
        (await machines.Run("cancel", id)).Fails(2, "finished already");
        Assert.Equal("hello", Json((await machines.Run("rerun", id, "--json")).Succeeds()).GetProperty("guestId").GetString());
    }

    [Fact]
    public async Task The_dashboard_elsewhere_shows_the_matrix()
    {
        using var http = new HttpClient();
        Assert.Contains("data-guest=\"absent\"", await http.GetStringAsync(new Uri(machines.DashboardUrl), TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("helo", "helo")]
    [InlineData("hello-there", "Did you mean hello")]
    [InlineData("absent", "absent.img")]
    [InlineData("changed", "changed.img")]
    public async Task What_cannot_run_exits_2_and_queues_nothing(string guest, string word)
    {
        int before = await Queued(guest);
        (await machines.Run("run", guest, "--wait")).Fails(2, word);
        Assert.Equal(before, await Queued(guest));
    }

    [Fact]
    public async Task A_kind_that_the_guest_has_not_exits_2() => (await machines.Run("run", "hello", "--kind", "install")).Fails(2, "install", "hello");

    [Theory]
    [InlineData("job 999999", "999999")]
    [InlineData("logs 999999", "999999")]
    [InlineData("rerun 999999", "999999")]
    [InlineData("cancel 999999", "999999")]
    [InlineData("triage 0123456789ab", "0123456789ab")]
    [InlineData("job first", "first")]
    [InlineData("run", "guest")]
    [InlineData("run hello --assist real", "--assist")]
    [InlineData("run hello --priority 101", "101")]
    [InlineData("jobs --state done", "--state")]
    public async Task What_is_not_there_or_makes_no_sense_exits_2(string arguments, string word) => (await machines.Run(arguments.Split(' '))).Fails(2, word);

    [Fact]
    public async Task Media_are_verified_and_a_wrong_one_is_not_added()
    {
        Assert.Contains("hello.img", (await machines.Run("media", "list")).Succeeds(), StringComparison.Ordinal);
        (await machines.Run("media", "verify")).Fails(2, "wrong checksum", "changed.img");
        (await machines.Run("media", "add", Path.Combine(machines.Farm.Folder, "media", "changed.img"))).Fails(2, "wrong checksum", "Nothing was added");
        (await machines.Run("media", "add", "nowhere.img")).Fails(2, "nowhere.img");
        string other = machines.Farm.Write("other.img", new byte[1024]);
        Assert.Contains("no guest of the catalogue uses it", (await machines.Run("media", "add", other)).Succeeds(), StringComparison.Ordinal);
    }

    private async Task<int> Queued(string guest) => Json((await machines.Run("jobs", "--guest", guest, "--json")).Succeeds()).GetArrayLength();

    private static JsonElement Json(string text)
    {
        using var document = JsonDocument.Parse(text);
        return document.RootElement.Clone();
    }
}
