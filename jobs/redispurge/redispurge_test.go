package redispurge_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/redispurge"
)

func TestPurge(t *testing.T) {
	t.Parallel()
	address := serverURL(t, purgeNumber)
	c := connect(t, address)
	hostile := []string{"cache:\x00\xff\nline", "cache:" + strings.Repeat("x", 5000), "cache:[a]*?"}
	set(t, c, 0, numbered("cache:", 1500)...)
	set(t, c, 0, hostile...)
	set(t, c, 0, numbered("session:", 2000)...)
	t.Cleanup(func() { c.FlushDB(context.Background()) })
	match := func(o *redispurge.Options) { o.Match = unit.Names{"cache:*"} }

	r, out, err := run(t.Context(), t, address, jobs.Hooks{DryRun: true}, match)
	if err != nil || r.Values["matched_keys"] != 1503 || r.Values["keys_before"] != 3503 || !strings.Contains(out, "would remove 1503 keys from cache") || strings.Count(out, "such as") != 10 {
		t.Errorf("dry run: %+v, %v\n%s", r, err, out)
	}
	for name, tt := range map[string]struct {
		rail   string
		change func(o *redispurge.Options)
	}{
		"too many":        {"max_keys", func(o *redispurge.Options) { match(o); o.MaxKeys = 1502 }},
		"too large":       {"max_share", func(o *redispurge.Options) { match(o); o.MaxShare = 42 }},
		"wide by content": {"max_share", func(o *redispurge.Options) { o.Match = unit.Names{"*:*"} }},
	} {
		r, _, err := run(t.Context(), t, address, jobs.Hooks{}, tt.change)
		if refused, ok := errors.AsType[*jobs.RefusedError](err); !ok || refused.Rail != tt.rail || r.Values["matched_keys"] < 1503 {
			t.Errorf("%s: %+v, error %v", name, r, err)
		}
	}
	if n := len(keys(t, c, "*")); n != 3503 {
		t.Fatalf("%d keys are left by dry runs and refusals", n)
	}
	r, out, err = run(t.Context(), t, address, jobs.Hooks{}, match)
	if err != nil || r.Values["deleted_keys"] != 1503 || r.Values["keys_after"] != 2000 || len(keys(t, c, "cache:*")) != 0 || len(keys(t, c, "session:*")) != 2000 {
		t.Errorf("%+v, %v\n%s", r, err, out)
	}
	if r, _, err := run(t.Context(), t, address, jobs.Hooks{}, match); err != nil || r.Values["matched_keys"] != 0 || !strings.HasPrefix(r.Summary, "nothing to remove") {
		t.Errorf("nothing: %+v, %v", r, err)
	}
	r, _, err = run(t.Context(), t, address, jobs.Hooks{}, func(o *redispurge.Options) { o.Match, o.All, o.MaxKeys, o.Pause = unit.Names{"*"}, true, 2000, 1 })
	if err != nil || r.Values["deleted_keys"] != 2000 || len(keys(t, c, "*")) != 0 {
		t.Errorf("all: %+v, %v", r, err)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	address := serverURL(t, filterNumber)
	c := connect(t, address)
	t.Cleanup(func() { c.FlushDB(context.Background()) })
	set(t, c, 0, "a:forever", "a:used")
	set(t, c, time.Hour, "a:mortal")
	if err := c.RPush(context.Background(), "a:list", 1).Err(); err != nil {
		t.Fatal(err)
	}
	// Idle times are seconds, so the server is told: RESTORE sets one.
	dump, err := c.Dump(context.Background(), "a:forever").Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(context.Background(), "RESTORE", "a:idle", 0, dump, "IDLETIME", 7200).Err(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(o *redispurge.Options)
		gone   string
	}{
		{"idle", func(o *redispurge.Options) { o.Idle = unit.Duration(time.Hour) }, "a:idle"},
		{"type", func(o *redispurge.Options) { o.Type = "list" }, "a:list"},
		{"forever", func(o *redispurge.Options) { o.WithoutTTL, o.Match = true, unit.Names{"a:f*", "a:m*"} }, "a:forever"},
		{"two patterns", func(o *redispurge.Options) { o.Match = unit.Names{"a:m*", "*mortal"} }, "a:mortal"},
	} {
		before := keys(t, c, "*")
		_, out, err := run(t.Context(), t, address, jobs.Hooks{}, func(o *redispurge.Options) { o.Match, o.MaxShare = unit.Names{"a:*"}, 100; tt.change(o) })
		var want []string
		for _, k := range before {
			if k != tt.gone {
				want = append(want, k)
			}
		}
		if diff := cmp.Diff(want, keys(t, c, "*")); err != nil || diff != "" {
			t.Errorf("%s: error %v, keys (-want +got):\n%s\n%s", tt.name, err, diff, out)
		}
	}
}

// TestMany: the memory that a run takes does not depend on how many keys there
// are.
func TestMany(t *testing.T) {
	t.Parallel()
	const count = 200_000
	address := serverURL(t, manyNumber)
	c := connect(t, address)
	t.Cleanup(func() { c.FlushDB(context.Background()) })
	prefix := "cache:" + strings.Repeat("x", 200) + ":" // 40 MB of names in all
	for i := range 20 {
		set(t, c, 0, numbered(fmt.Sprint(prefix, i, ":"), count/20)...)
	}
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	base, most, effects := live(), uint64(0), 0
	r, _, err := run(t.Context(), t, address, jobs.Hooks{Effect: func(string) {
		if effects++; effects%50 == 0 {
			most = max(most, live())
		}
	}}, func(o *redispurge.Options) {
		o.Match, o.All, o.MaxKeys, o.Batch = unit.Names{"*"}, true, count+count/10, 1000
	})
	if err != nil || r.Values["deleted_keys"] != count || len(keys(t, c, "*")) != 0 || r.Values["freed_bytes"] < count*200 {
		t.Errorf("%+v, %v", r, err)
	}
	if most == 0 || most > base+20<<20 {
		t.Errorf("%d effects, live heap from %d to %d bytes", effects, base, most)
	}
}

// TestRights: who may not remove keys is told so, and few rights are enough.
func TestRights(t *testing.T) {
	t.Parallel()
	address := serverURL(t, rightsNumber)
	c := connect(t, address)
	set(t, c, 0, numbered("mine:", 10)...)
	t.Cleanup(func() {
		c.FlushDB(context.Background())
		c.Do(context.Background(), "ACL", "DELUSER", "reader", "purger")
	})
	for user, rules := range map[string][]any{
		"reader": {"~*", "+@read", "+select", "+info", "+ping"},
		"purger": {"~mine:*", "+scan", "+unlink", "+select", "+info", "+dbsize"},
	} {
		if err := c.Do(context.Background(), append([]any{"ACL", "SETUSER", user, "reset", "on", ">pl@nted"}, rules...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	as := func(user, password string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(user, password)
		return u.String()
	}
	change := func(o *redispurge.Options) { o.Match, o.MaxShare = unit.Names{"mine:*"}, 100 }
	_, _, err := run(t.Context(), t, as("reader", "pl@nted"), jobs.Hooks{}, change)
	if err == nil || !strings.Contains(err.Error(), "NOPERM") || !strings.Contains(jobs.HintOf(err), "ACL SETUSER") || len(keys(t, c, "mine:*")) != 10 {
		t.Errorf("a reader: %v, hint %q", err, jobs.HintOf(err))
	}
	_, _, err = run(t.Context(), t, as("purger", "wr0ng-planted"), jobs.Hooks{}, change)
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "wr0ng") || jobs.HintOf(err) == "" {
		t.Errorf("a wrong password: %v, hint %q", err, jobs.HintOf(err))
	}
	_, _, err = run(t.Context(), t, strings.Replace(serverURL(t, 99), "planted", "", 1), jobs.Hooks{}, change)
	if err == nil || !strings.Contains(jobs.HintOf(err), "databases") {
		t.Errorf("a database that does not exist: %v, hint %q", err, jobs.HintOf(err))
	}
	if r, _, err := run(t.Context(), t, as("purger", "pl@nted"), jobs.Hooks{}, change); err != nil || r.Values["deleted_keys"] != 10 {
		t.Errorf("the least rights: %+v, %v", r, err)
	}
}

// TestServers: where a purge would do harm or nothing, it is refused.
func TestServers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		arguments []string
		idle      time.Duration
		want      string
	}{
		"replica":       {[]string{"--replicaof", "127.0.0.1 1"}, 0, "the server is a replica"},
		"cluster":       {[]string{"--cluster-enabled", "yes"}, 0, "the server runs as cluster"},
		"LFU":           {[]string{"--maxmemory-policy", "allkeys-lfu"}, time.Hour, "maxmemory-policy is allkeys-lfu"},
		"LFU, not idle": {[]string{"--maxmemory-policy", "allkeys-lfu"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := startServer(t, tt.arguments...)
			r, _, err := run(t.Context(), t, "unix://"+dir+"/s", jobs.Hooks{}, func(o *redispurge.Options) {
				o.Match, o.Idle = unit.Names{"a:*"}, unit.Duration(tt.idle)
			})
			refused, ok := errors.AsType[*jobs.RefusedError](err)
			if tt.want == "" {
				if err != nil || r.Values["matched_keys"] != 0 {
					t.Errorf("%+v, %v", r, err)
				}
			} else if !ok || !strings.Contains(refused.Why, tt.want) || jobs.HintOf(err) == "" {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	other, _ := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := startServer(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert)
	c := connect(t, "unix://"+filepath.Join(dir, "s")+"?db=3")
	set(t, c, 0, "a:1", "b:1")
	change := func(o *redispurge.Options) { o.Match = unit.Names{"a:*"} }
	base := "rediss://localhost:" + port + "/3?ssl_certfile=" + cert + "&ssl_keyfile=" + key
	for name, tt := range map[string]struct{ address, want string }{
		"untrusted":  {base, "certificate"},
		"other":      {base + "&ssl_ca_certs=" + other, "certificate"},
		"other name": {base + "&ssl_ca_certs=" + cert + "&server_name=db.invalid", "not db.invalid"},
		"nobody":     {"rediss://localhost:" + port + "/3?ssl_ca_certs=" + cert, ""},
		"no TLS":     {"redis://localhost:" + port + "/3", ""},
	} {
		if _, _, err := run(t.Context(), t, tt.address, jobs.Hooks{}, change); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
	r, _, err := run(t.Context(), t, base+"&ssl_ca_certs="+cert, jobs.Hooks{}, change)
	if err != nil || r.Values["deleted_keys"] != 1 || len(keys(t, c, "*")) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestSilent: a server that takes a connection and says nothing does not hold
// up a run that is canceled.
func TestSilent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	stop := errors.New("stop")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, stop)
	defer cancel()
	if _, _, err := run(ctx, t, "redis://"+l.Addr().String(), jobs.Hooks{}, func(o *redispurge.Options) { o.Match = unit.Names{"a:*"} }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	address := serverURL(t, contractNumber)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	prefix := func(root string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(`*?[]\`, r) {
				return '_'
			}
			return r
		}, root)
	}
	fixture := func(name, address string, change func(o *redispurge.Options)) jobstest.Fixture {
		return jobstest.Fixture{
			Name: name, Effects: true, Secrets: []string{password},
			Arrange: func(t *testing.T, root string, options any, deps *jobstest.Deps) {
				deps.AddDatabase(jobs.Database{Name: "cache", Kind: jobs.Redis, URL: secret.New(address)})
				o := jobstest.Options[redispurge.Options](t, options)
				o.Database, o.Match, o.MaxShare, o.Batch = "cache", unit.Names{prefix(root) + ":a:*"}, 100, 10
				if change != nil {
					change(o)
				}
				c := connect(t, serverURL(t, contractNumber))
				set(t, c, time.Hour, numbered(prefix(root)+":a:", 95)...)
				set(t, c, time.Hour, numbered(prefix(root)+":b:", 5)...)
			},
			Settled: func(t *testing.T, root string) {
				c := connect(t, serverURL(t, contractNumber))
				if a, b := keys(t, c, prefix(root)+":a:*"), keys(t, c, prefix(root)+":b:*"); len(a) != 0 || len(b) != 5 {
					t.Errorf("%d and %d keys are left, want 0 and 5", len(a), len(b))
				}
			},
		}
	}
	failing := func(f jobstest.Fixture, with string, refuses bool) jobstest.Fixture {
		f.Fails, f.Refuses, f.Effects, f.Settled = with, refuses, false, nil
		return f
	}
	jobstest.Exercise(t, redispurge.Kind(),
		fixture("purge", address, nil),
		failing(fixture("too many", address, func(o *redispurge.Options) { o.MaxKeys = 94 }), "refused by max_keys", true),
		failing(fixture("wrong password", strings.Replace(address, password, "wrong-"+password, 1), nil), "WRONGPASS", false),
		failing(fixture("nobody", "redis://default:"+password+"@127.0.0.1:1/0", nil), "connect", false),
	)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	number := -1
	for name, tt := range map[string]struct {
		change func(o *redispurge.Options)
		want   string
	}{
		"nothing":    {func(o *redispurge.Options) { o.Match = nil }, "match: there is no pattern"},
		"empty":      {func(o *redispurge.Options) { o.Match = unit.Names{""} }, "match[0]: the pattern is empty"},
		"everything": {func(o *redispurge.Options) { o.Match = unit.Names{"a", "*"} }, `match[1]: "*" matches everything`},
		"nearly":     {func(o *redispurge.Options) { o.Match = unit.Names{"?*[^a-z\\]]*"} }, "matches everything"},
		"all":        {func(o *redispurge.Options) { o.Match, o.All = unit.Names{"*"}, true }, "max_keys:"},
		"type":       {func(o *redispurge.Options) { o.Type = "text" }, "type:"},
		"idle":       {func(o *redispurge.Options) { o.Idle = 1 }, "idle:"},
		"share":      {func(o *redispurge.Options) { o.MaxShare = 0 }, "max_share:"},
		"batch":      {func(o *redispurge.Options) { o.Batch = 0 }, "batch:"},
		"pause":      {func(o *redispurge.Options) { o.Pause = unit.Duration(time.Hour) }, "pause:"},
		"samples":    {func(o *redispurge.Options) { o.Samples = 101 }, "samples:"},
		"number":     {func(o *redispurge.Options) { o.Number = &number }, "number:"},
		"unknown":    {func(o *redispurge.Options) { o.Database = "other" }, `database: no database "other"`},
		"postgres":   {func(o *redispurge.Options) { o.Database = "main" }, "is of the kind postgres"},
		"address":    {func(o *redispurge.Options) { o.Database = "bad" }, "database: bad: the address of the database is not redis://"},
		"unverified": {func(o *redispurge.Options) { o.Database = "unverified" }, "switches the verification of certificates off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := redispurge.Kind().Options()
			o := jobstest.Options[redispurge.Options](t, options)
			o.Database, o.Match = "cache", unit.Names{"a:*"}
			tt.change(o)
			deps := jobstest.NewDeps(t)
			for name, address := range map[string]string{"cache": "redis://cache", "bad": "redis://:planted@[cache", "unverified": "rediss://cache?ssl_cert_reqs=none"} {
				deps.AddDatabase(jobs.Database{Name: name, Kind: jobs.Redis, URL: secret.New(address)})
			}
			deps.AddDatabase(jobs.Database{Name: "main", Kind: jobs.Postgres})
			_, err := redispurge.Kind().Build(options, deps)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "planted") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
