package redisping_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/redisping"
)

func TestContract(t *testing.T) {
	t.Parallel()
	u := serverURL(t)
	password, _ := u.User.Password()
	jobstest.Exercise(t, redisping.Kind(), jobstest.Fixture{
		Name: "ping", Secrets: []string{password},
		Arrange: func(t *testing.T, _ string, options any, deps *jobstest.Deps) {
			deps.AddDatabase(jobs.Database{Name: "cache", Kind: jobs.Redis, URL: secret.New(u.String())})
			o := patient(t)
			o.Role = "primary"
			*jobstest.Options[redisping.Options](t, options) = o
		},
		Judge: func(t *testing.T, _ string, r jobs.Result) {
			healthy(t, r)
			for _, name := range []string{"total_seconds", "connect_seconds", "auth_seconds", "clients", "max_clients", "clients_percent", "used_memory_bytes", "memory_percent"} {
				if r.Values[name] <= 0 {
					t.Errorf("value %s is %v", name, r.Values[name])
				}
			}
			if r.Outputs["role"] != "primary" || r.Outputs["version"] == "" || r.Outputs["counters"] == "" {
				t.Errorf("outputs %v", r.Outputs)
			}
		},
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	u := serverURL(t)
	with := func(change func(u *url.URL)) string {
		c := *u
		change(&c)
		return c.String()
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ address, kind, text string }{
		"password":    {with(func(u *url.URL) { u.User = url.UserPassword("default", "wr0ng/p@ss") }), "auth", "WRONGPASS"},
		"no password": {with(func(u *url.URL) { u.User = nil }), "auth", "NOAUTH"},
		"database":    {with(func(u *url.URL) { u.Path = "/99" }), "server", "DB index is out of range"},
		"port":        {with(func(u *url.URL) { u.Host = nobody }), "tcp", "refused"},
		"name":        {with(func(u *url.URL) { u.Host = "no-such-host.invalid:6379" }), "dns", "no-such-host.invalid"},
		"socket":      {"unix:///no/such/s", "tcp", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newProber(t, tt.address).probe()
			wants(t, r, "redisping:"+tt.kind, jobs.Critical, tt.text)
			if r.Outputs["error_kind"] != tt.kind || len(r.Findings) != 1 || strings.Contains(r.Summary, "wr0ng") {
				t.Errorf("outputs %v, findings %+v", r.Outputs, r.Findings)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, "--tls-port", port, "--bind", "127.0.0.1", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	r := newProber(t, "rediss://localhost:"+port+"?ssl_ca_certs="+url.QueryEscape(cert)).probe()
	healthy(t, r)
	if r.Values["tls_seconds"] <= 0 || r.Values["auth_seconds"] <= 0 {
		t.Errorf("values %v", r.Values)
	}
	wants(t, newProber(t, "rediss://localhost:"+port).probe(), "redisping:tls", jobs.Critical, "certificate")
}

// TestStalls: a server that accepts and says nothing is given up on in time.
func TestStalls(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	p := newProber(t, "redis://:hidden@"+listener.Addr().String())
	p.options.Timeout = unit.Duration(500 * time.Millisecond)
	wants(t, p.probe(), "redisping:timeout", jobs.Critical, "(auth): no answer within 500ms")

	// A server without TLS takes the handshake for the beginning of a command.
	q := newProber(t, strings.Replace(serverURL(t).String(), "redis:", "rediss:", 1))
	q.options.Timeout = p.options.Timeout
	wants(t, q.probe(), "redisping:timeout", jobs.Critical, "(tls): no answer within 500ms")

	errWanted := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		c, err := listener.Accept() // that of the first probe
		if err == nil {
			defer func() { _ = c.Close() }()
		}
		if c, err = listener.Accept(); err == nil {
			_, _ = c.Read(make([]byte, 1))
			cancel(errWanted)
			_ = c.Close()
		}
	}()
	p.options.Timeout = unit.Duration(time.Minute)
	if r, err := p.try(ctx); !errors.Is(err, errWanted) || len(r.Findings) > 0 {
		t.Errorf("%v, %+v", err, r.Findings)
	}
}

func TestLoading(t *testing.T) {
	t.Parallel()
	n := start(t)
	for i := range 3000 {
		n.do("SET", fmt.Sprintf("key%d", i), strings.Repeat("x", 200)+fmt.Sprint(i))
	}
	n.do("CONFIG", "SET", "rdbcompression", "no")
	n.do("SAVE")
	n.stopping()
	again := startIn(t, n.dir, "--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
	r := newProber(t, again.address()).probe()
	wants(t, r, "redisping:loading", jobs.Critical, "reads its data")
	if r.Outputs["error_kind"] != "loading" {
		t.Errorf("outputs %v", r.Outputs)
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	n := start(t, "--maxmemory", "100mb", "--maxmemory-policy", "noeviction")
	p := newProber(t, n.address())
	healthy(t, p.probe())
	for i := range 150 {
		n.do("SET", fmt.Sprint(i), strings.Repeat("x", 100_000))
	}
	used := p.probe().Values["used_memory_bytes"]
	n.do("CONFIG", "SET", "maxmemory", int64(used/0.87))
	wants(t, p.probe(), "redisping:memory", jobs.Warning, "% of maxmemory (")
	n.do("CONFIG", "SET", "maxmemory", int64(used/0.98))
	wants(t, p.probe(), "redisping:memory", jobs.Critical, "limit 95%")
	n.do("CONFIG", "SET", "maxmemory", int64(used/0.87))
	n.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	r := p.probe()
	healthy(t, r)
	if r.Values["memory_percent"] < 80 {
		t.Errorf("values %v", r.Values)
	}
}

func TestClients(t *testing.T) {
	t.Parallel()
	n := start(t, "--maxclients", "10")
	p := newProber(t, n.address())
	healthy(t, p.probe())
	join := func() {
		c, err := net.Dial("unix", n.dir+"/s")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	// Our own client is one, and the probe another.
	for range 7 {
		join()
	}
	n.awaits("connected_clients", "8")
	wants(t, p.probe(), "redisping:clients", jobs.Warning, "9 of 10 clients are connected (90.0 %), limit 80%")
	n.awaits("connected_clients", "8")
	join()
	n.awaits("connected_clients", "9")
	wants(t, p.probe(), "redisping:clients", jobs.Critical, "limit 95%")
	n.awaits("connected_clients", "9")
	join()
	n.awaits("connected_clients", "10")
	r := p.probe()
	wants(t, r, "redisping:too_many", jobs.Critical, "max number of clients")
	n.do("CONFIG", "SET", "maxclients", "1000")
	r = p.probe()
	wants(t, r, "redisping:rejected", jobs.Warning, "1 connections were rejected")
	if r.Values["rejected"] != 1 {
		t.Errorf("values %v", r.Values)
	}
}

func TestPersistence(t *testing.T) {
	t.Parallel()
	n := start(t, "--stop-writes-on-bgsave-error", "no")
	p := newProber(t, n.address())
	n.do("SET", "a", "b")
	r := p.probe()
	healthy(t, r)
	if r.Values["unsaved_changes"] != 1 {
		t.Errorf("values %v", r.Values)
	}
	if err := os.Mkdir(n.dir+"/dump.rdb", 0o700); err != nil {
		t.Fatal(err)
	}
	n.do("BGSAVE")
	n.awaits("rdb_last_bgsave_status", "err")
	wants(t, p.probe(), "redisping:persistence", jobs.Critical, "the last snapshot (RDB) failed")
	p.options.Saves = false
	wants(t, p.probe(), "redisping:persistence", jobs.Warning, "RDB")
}

func TestReplication(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	first := start(t, "--port", port, "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
	second := start(t, "--replicaof", "127.0.0.1 "+port)
	second.awaits("master_link_status", "up")
	p, q := newProber(t, first.address()), newProber(t, second.address())
	p.options.Role, p.options.Replicas, q.options.Role = "primary", 1, "replica"
	first.awaitsText("state=online")
	r := p.probe()
	healthy(t, r)
	if lag, ok := r.Values["replica_lag_bytes"]; !ok || lag < 0 || r.Values["replicas_online"] != 1 {
		t.Errorf("values %v", r.Values)
	}
	r = q.probe()
	healthy(t, r)
	if r.Values["link_down_seconds"] != 0 || r.Outputs["role"] != "replica" {
		t.Errorf("values %v, outputs %v", r.Values, r.Outputs)
	}
	p.options.Role, q.options.Role = "replica", "primary"
	wants(t, p.probe(), "redisping:role", jobs.Critical, "is a primary, and must be a replica")
	wants(t, q.probe(), "redisping:role", jobs.Critical, "is a replica, and must be a primary")
	p.options.Role, p.options.Replicas = "any", 2
	wants(t, p.probe(), "redisping:replicas", jobs.Critical, "has 1 replicas that are online, and must have 2")
	first.stopping()
	second.awaits("master_link_status", "down")
	wants(t, q.probe(), "redisping:replication", jobs.Critical, "not connected to its primary")
}

// TestCache: what is said about the cache is about the time since the probe
// before, in a job's history as in a check's memory.
func TestCache(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]bool{"job": false, "check": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := start(t, "--maxmemory-policy", "allkeys-lru")
			p := newProber(t, n.address())
			p.check, p.options.Cache.MinLookups, p.options.Cache.Warn = check, 100, 20
			look := func(key string, times int) {
				for range times {
					_ = n.client.Get(t.Context(), key) // also of what is not there
				}
			}
			n.do("SET", "here", "1")
			look("nothing", 200)
			r := p.probe()
			healthy(t, r)
			if percent, ok := r.Values["hit_percent"]; !ok || percent != 0 {
				t.Errorf("values %v", r.Values)
			}
			look("here", 90)
			look("nothing", 9)
			healthy(t, p.probe()) // 99 lookups, and few misses
			look("here", 50)
			look("nothing", 50)
			r = p.probe()
			wants(t, r, "redisping:cache", jobs.Info, "50.0 % of 100 lookups since the probe before found something: most keys were never there")
			if r.Values["hit_percent_recent"] != 50 || r.Values["lookups"] != 100 {
				t.Errorf("values %v", r.Values)
			}
			look("nothing", 100)
			wants(t, p.probe(), "redisping:cache", jobs.Warning, "0.0 % of 100 lookups")
			look("nothing", 100)
			n.do("CONFIG", "RESETSTAT")
			r = p.probe()
			healthy(t, r)
			if _, ok := r.Values["lookups"]; ok {
				t.Errorf("counters that were reset were compared: %v", r.Values)
			}
			n.stopping()
			startIn(t, n.dir)
			r = p.probe()
			wants(t, r, "redisping:restarted", jobs.Info, "was restarted")
		})
	}
}

func TestEvictions(t *testing.T) {
	t.Parallel()
	n := start(t, "--maxmemory-policy", "allkeys-lru")
	p := newProber(t, n.address())
	p.options.Evictions, p.options.Cache.MinLookups = redisping.Rate{Warn: 0.001}, 1
	for i := range 50 {
		n.do("SET", fmt.Sprintf("key%d", i), strings.Repeat("x", 100_000))
	}
	healthy(t, p.probe())
	n.do("CONFIG", "SET", "maxmemory", "3mb")
	for i := range 50 {
		_ = n.client.Get(t.Context(), fmt.Sprintf("key%d", i))
	}
	r := p.probe()
	wants(t, r, "redisping:evictions", jobs.Warning, "keys were evicted since the probe before")
	wants(t, r, "redisping:cache", jobs.Info, "more maxmemory would help")
	if r.Values["evicted"] <= 0 || r.Values["evicted_per_minute"] <= 0 {
		t.Errorf("values %v", r.Values)
	}
	p.options.Evictions = redisping.Rate{Crit: 0.001}
	n.do("CONFIG", "SET", "maxmemory", "2mb")
	n.do("SET", "more", "1")
	wants(t, p.probe(), "redisping:evictions", jobs.Critical, "limit 0.001")
}

func TestLatency(t *testing.T) {
	t.Parallel()
	p := newProber(t, serverURL(t).String())
	p.options.Latency, p.options.Connect = reach.Latency{Warn: 1}, reach.Latency{Crit: 1}
	r := p.probe()
	wants(t, r, "redisping:latency", jobs.Warning, "limit 1ns")
	wants(t, r, "redisping:connect", jobs.Critical, "most of it for ")
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *redisping.Options)
		want   string
	}{
		"database":  {func(o *redisping.Options) { o.Database = "other" }, `database: no database "other"`},
		"kind":      {func(o *redisping.Options) { o.Database = "main" }, "is of the kind postgres"},
		"timeout":   {func(o *redisping.Options) { o.Timeout = 0 }, "timeout: it must be above 0"},
		"never":     {func(o *redisping.Options) { o.Timeout = 1e9 }, "latency.crit: 1s is never reached"},
		"connect":   {func(o *redisping.Options) { o.Connect = reach.Latency{Warn: 3, Crit: 2} }, "connect.warn: 3ns is above crit"},
		"memory":    {func(o *redisping.Options) { o.Memory.Warn = 99 }, "memory.warn: 99% is above crit"},
		"clients":   {func(o *redisping.Options) { o.Clients.Warn = 99 }, "clients.warn: 99% is above crit"},
		"negative":  {func(o *redisping.Options) { o.Evictions.Warn = -1 }, "evictions: a limit is negative"},
		"evictions": {func(o *redisping.Options) { o.Evictions = redisping.Rate{Warn: 2, Crit: 1} }, "evictions.warn: 2 is above crit"},
		"role":      {func(o *redisping.Options) { o.Role = "master" }, `role: "master" is none of`},
		"replicas":  {func(o *redisping.Options) { o.Replicas = -1 }, "min_replicas: -1 is negative"},
		"lookups":   {func(o *redisping.Options) { o.Cache.MinLookups = 0 }, "cache.min_lookups: 0 is out of range"},
		"hits":      {func(o *redisping.Options) { o.Cache.Warn = 90 }, "cache.warn: 90% is above advise"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := redisping.Kind().Options()
			o := jobstest.Options[redisping.Options](t, options)
			o.Database = "cache"
			tt.change(o)
			deps := jobstest.NewDeps(t)
			deps.AddDatabase(jobs.Database{Name: "cache", Kind: jobs.Redis, URL: secret.New("redis://h")})
			deps.AddDatabase(jobs.Database{Name: "main", Kind: jobs.Postgres})
			if _, err := redisping.Kind().Build(options, deps); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
