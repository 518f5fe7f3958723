package pgping_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgping"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient are options under which a machine that is busy is not called sick.
func patient(t *testing.T) pgping.Options {
	t.Helper()
	o := *jobstest.Options[pgping.Options](t, pgping.Kind().Options())
	o.Database, o.Timeout, o.Latency, o.Connections = "main", unit.Duration(time.Minute), reach.Latency{}, pgping.Shares{Warn: 100, Crit: 100}
	return o
}

func try(ctx context.Context, t *testing.T, o pgping.Options, address string) (jobs.Result, error) {
	t.Helper()
	options := pgping.Kind().Options()
	*jobstest.Options[pgping.Options](t, options) = o
	deps := jobstest.NewDeps(t)
	deps.AddDatabase(jobs.Database{Name: "main", Kind: jobs.Postgres, URL: secret.New(address)})
	job, err := pgping.Kind().Build(options, deps)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return job.Run(ctx, jobs.NewEnv(jobs.Env{RunID: "r", Workflow: "w", Job: "j", Attempt: 1, Out: &jobstest.Buffer{}}, jobs.Hooks{}))
}

func ping(t *testing.T, o pgping.Options, address string) jobs.Result {
	t.Helper()
	r, err := try(t.Context(), t, o, address)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	jobstest.CheckResult(t, r)
	return r
}

// wants checks that there is a finding of that id, severity and text.
func wants(t *testing.T, r jobs.Result, id string, s jobs.Severity, text string) {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f jobs.Finding) bool { return f.ID == id })
	if i < 0 || r.Findings[i].Severity != s || !strings.Contains(r.Findings[i].Text, text) {
		t.Errorf("want the finding %s %s %q; there are %+v", s, id, text, r.Findings)
	}
}

// faulty checks that the server could not be asked, and why.
func faulty(t *testing.T, r jobs.Result, kind, text string) {
	t.Helper()
	wants(t, r, "pgping:"+kind, jobs.Critical, text)
	if r.Outputs["error_kind"] != kind || len(r.Findings) != 1 {
		t.Errorf("outputs %v, findings %+v; want the one fault %s", r.Outputs, r.Findings, kind)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t, pgtest.Database(t))
	fixture := jobstest.Fixture{
		Name: "ping", Secrets: []string{pgtest.Password(t)},
		Arrange: func(t *testing.T, _ string, options any, deps *jobstest.Deps) {
			pgtest.AddDatabase(deps, "main", address)
			o := patient(t)
			o.Role, o.Query = "primary", "SELECT true"
			*jobstest.Options[pgping.Options](t, options) = o
		},
		Judge: func(t *testing.T, _ string, r jobs.Result) {
			if len(r.Findings) > 0 {
				t.Errorf("findings %+v", r.Findings)
			}
			for _, name := range []string{"total_seconds", "connect_seconds", "auth_seconds", "query_seconds", "connections", "max_connections", "connections_percent", "version_number"} {
				if r.Values[name] <= 0 {
					t.Errorf("value %s is %v", name, r.Values[name])
				}
			}
			v := r.Values
			if sum := v["dns_seconds"] + v["connect_seconds"] + v["auth_seconds"] + v["query_seconds"]; sum > v["total_seconds"]+0.0001 || sum < v["total_seconds"]-0.0001 {
				t.Errorf("the phases make %v, the total is %v", sum, v["total_seconds"])
			}
			if _, ok := v["tls_seconds"]; ok || v["standby"] != 0 || v["read_only"] != 0 {
				t.Errorf("values %v", v)
			}
		},
	}
	jobstest.Exercise(t, pgping.Kind(), fixture)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t, "")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ address, kind, text string }{
		"password": {pgtest.As(t, address, "postgres", "wr:ng/p@ss"), "auth", "password authentication failed"},
		"user":     {pgtest.As(t, address, "nobody_such", "x"), "auth", "authentication failed"},
		"database": {pgtest.In(t, address, "no_such_database"), "database", "does not exist"},
		"port":     {pgtest.By(t, address, nobody), "tcp", "refused"},
		"name":     {pgtest.By(t, address, "no-such-host.invalid:5432"), "dns", "no-such-host.invalid"},
		"tls":      {strings.Replace(address, "sslmode=disable", "sslmode=verify-full", 1), "tls", "TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ping(t, patient(t), tt.address)
			faulty(t, r, tt.kind, tt.text)
			if strings.Contains(r.Findings[0].Text, "wr:ng") {
				t.Errorf("the password shows: %s", r.Findings[0].Text)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t, "")
	for _, password := range []string{pgtest.Password(t), "wr:ng/p@ss"} {
		options := pgping.Kind().Options()
		*jobstest.Options[pgping.Options](t, options) = patient(t)
		job, err := pgping.Kind().Build(options, pgtest.Deps(t, pgtest.As(t, address, "postgres", password), nil))
		if err != nil {
			t.Fatal(err)
		}
		checker, ok := job.(jobs.Checker)
		if !ok {
			t.Fatal("there is no check")
		}
		err = checker.Check(t.Context(), jobs.NewEnv(jobs.Env{}, jobs.Hooks{}))
		if wrong := strings.HasPrefix(password, "wr"); wrong != (err != nil) || wrong && (!strings.Contains(err.Error(), "authentication failed") || strings.Contains(err.Error(), password)) {
			t.Errorf("check: %v", err)
		}
	}
}

// TestSeveralHosts: what of several servers does not answer takes no more than
// its share of the time.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t, "")
	proxy := pgtest.NewProxy(t, address)
	proxy.Stall()
	_, after, _ := strings.Cut(address, "@")
	host, _, _ := strings.Cut(after, "/")
	_, stalled, _ := strings.Cut(proxy.URL, "@")
	stalledHost, _, _ := strings.Cut(stalled, "/")
	o := patient(t)
	o.Timeout = unit.Duration(16 * time.Second)
	r := ping(t, o, strings.Replace(address, "@"+host, "@"+stalledHost+","+host, 1))
	if len(r.Findings) > 0 || r.Values["auth_seconds"] < 5 {
		t.Errorf("findings %+v, values %v", r.Findings, r.Values)
	}
}

func TestTooMany(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t, "max_connections=6", "superuser_reserved_connections=1")
	admin := pgtest.Connect(t, c.URL)
	pgtest.Exec(t, admin, "CREATE ROLE low LOGIN")
	low := strings.Replace(c.URL, "postgres@", "low@", 1)
	o := patient(t)
	o.Connections = pgping.Shares{Warn: 50, Crit: 70}
	join := func(others int) {
		t.Helper()
		// What has hung up still counts for a moment.
		pgtest.Await(t, admin, "SELECT count(*) = $1 FROM pg_stat_activity WHERE backend_type = 'client backend'", others)
		pgtest.Connect(t, low)
		pgtest.Await(t, admin, "SELECT count(*) = $1 FROM pg_stat_activity WHERE backend_type = 'client backend'", others+1)
	}
	join(1)
	wants(t, ping(t, o, low), "pgping:connections", jobs.Warning, "3 of 5 connections are in use (60.0 %), limit 50%")
	join(2)
	r := ping(t, o, low)
	wants(t, r, "pgping:connections", jobs.Critical, "limit 70%")
	wants(t, r, "unseen:sessions", jobs.Info, "GRANT pg_monitor TO")
	join(3)
	join(4)
	r = ping(t, patient(t), low)
	faulty(t, r, "too_many", "remaining connection slots")
	if r.Outputs["error_code"] != "53300" {
		t.Errorf("outputs %v", r.Outputs)
	}
}

func TestIdleInTransaction(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t, pgtest.Database(t))
	c := pgtest.Connect(t, pgtest.Called(t, address, "the culprit"))
	pgtest.Exec(t, c, "BEGIN", "SELECT 1")
	o := patient(t)
	o.Idle = reach.Latency{Warn: 1}
	r := ping(t, o, address)
	// Other tests of the same server may be idle for longer.
	wants(t, r, "pgping:idle_in_transaction", jobs.Warning, "is idle in a transaction for ")
	if r.Values["connections_idle_in_transaction"] < 1 || r.Values["longest_idle_in_transaction_seconds"] <= 0 || r.Values["longest_transaction_seconds"] <= 0 {
		t.Errorf("values %v", r.Values)
	}
	o.Idle = reach.Latency{Crit: 1}
	wants(t, ping(t, o, address), "pgping:idle_in_transaction", jobs.Critical, "limit 1ns")
}

func TestQuery(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t, pgtest.Database(t, "CREATE TABLE t (v int)", "INSERT INTO t VALUES (1)"))
	for query, want := range map[string]string{
		"SELECT count(*) = 1 FROM t":                            "",
		"SELECT count(*) > 1 FROM t":                            "answered by false",
		"SELECT true FROM t WHERE v = 2":                        "no row",
		"SELECT NULL::bool":                                     "NULL",
		"SELECT 'secret of a person'":                           "not answered by true or false",
		"SELECT v FROM nothing":                                 "does not exist",
		"SELECT true; DELETE FROM t":                            "multiple commands",
		"DELETE FROM t RETURNING true":                          "read-only transaction",
		"COMMIT":                                                "no row",
		"WITH d AS (DELETE FROM t RETURNING 1) SELECT true":     "read-only transaction",
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE false": "answered by false",
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			o := patient(t)
			o.Query = query
			r := ping(t, o, address)
			if want == "" {
				if len(r.Findings) > 0 {
					t.Errorf("findings %+v", r.Findings)
				}
				return
			}
			wants(t, r, "pgping:query", jobs.Critical, want)
			if strings.Contains(r.Findings[0].Text, "person") {
				t.Errorf("the answer shows: %s", r.Findings[0].Text)
			}
			if n := pgtest.Look[int](t, address, "SELECT count(*)::int FROM t"); !slices.Equal(n, []int{1}) {
				t.Errorf("the table has %v rows", n)
			}
		})
	}
}

func TestStandby(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t)
	s := pgtest.NewStandby(t, c.URL)
	pgtest.Await(t, pgtest.Connect(t, c.URL), "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
	pgtest.Load(t, pgtest.Connect(t, c.URL), "CREATE TABLE t (v int)")
	o := patient(t)
	o.Role = "standby"
	admin := pgtest.Connect(t, s.URL)
	pgtest.Await(t, admin, "SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND to_regclass('t') IS NOT NULL")
	r := ping(t, o, s.URL)
	if len(r.Findings) > 0 || r.Values["standby"] != 1 || r.Values["read_only"] != 1 || r.Values["lag_seconds"] != 0 || r.Values["lag_bytes"] != 0 {
		t.Errorf("findings %+v, values %v", r.Findings, r.Values)
	}
	wants(t, ping(t, o, c.URL), "pgping:role", jobs.Critical, "is a primary, and must be a standby")
	o.Role = "primary"
	wants(t, ping(t, o, s.URL), "pgping:role", jobs.Critical, "is a standby, and must be a primary")

	pgtest.Exec(t, admin, "SELECT pg_wal_replay_pause()")
	pgtest.Await(t, admin, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
	pgtest.Load(t, pgtest.Connect(t, c.URL), "INSERT INTO t VALUES (1)")
	pgtest.Await(t, admin, "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()")
	o.Role, o.Lag = "any", reach.Latency{Warn: 1}
	r = ping(t, o, s.URL)
	wants(t, r, "pgping:paused", jobs.Warning, "paused")
	wants(t, r, "pgping:lag", jobs.Warning, "behind its primary, limit 1ns")
	if r.Values["lag_bytes"] <= 0 {
		t.Errorf("values %v", r.Values)
	}
	pgtest.Exec(t, admin, "SELECT pg_wal_replay_resume()", "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
	pgtest.Await(t, admin, "SELECT count(*) = 0 FROM pg_stat_wal_receiver")
	wants(t, ping(t, o, s.URL), "pgping:receiver", jobs.Critical, "not connected")
}

func TestReadOnlyPrimary(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t, pgtest.Database(t))
	c := pgtest.Connect(t, address)
	pgtest.Exec(t, c, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$")
	o := patient(t)
	o.Role = "primary"
	r := ping(t, o, address)
	wants(t, r, "pgping:read_only", jobs.Critical, "takes no writes")
	if r.Values["read_only"] != 1 {
		t.Errorf("values %v", r.Values)
	}
}

// TestStalls: a server that says nothing any more, or not to the end, is given
// up on in time, and the fault says at which step.
func TestStalls(t *testing.T) {
	t.Parallel()
	o := patient(t)
	o.Timeout = unit.Duration(2 * time.Second)
	proxy := pgtest.NewProxy(t, pgtest.URL(t, ""))
	proxy.Stall()
	faulty(t, ping(t, o, proxy.URL), "timeout", "no answer within 2s")

	slow := pgtest.URL(t, pgtest.Database(t))
	o.Query = "SELECT pg_sleep(3600) IS NULL"
	r := ping(t, o, slow)
	// A machine that is busy may notice before the server does.
	if _, late := r.Outputs["error_kind"]; late {
		wants(t, r, "pgping:timeout", jobs.Critical, "database main")
	} else {
		wants(t, r, "pgping:query", jobs.Critical, "it took longer than the timeout, 2s, leaves it")
	}
	if r.Values["total_seconds"] <= 0 {
		t.Errorf("values %v", r.Values)
	}

	cut := pgtest.NewProxy(t, pgtest.URL(t, ""))
	cut.Close()
	faulty(t, ping(t, o, cut.URL), "tcp", "refused")
}

func TestLatency(t *testing.T) {
	t.Parallel()
	o := patient(t)
	o.Latency = reach.Latency{Warn: 1}
	wants(t, ping(t, o, pgtest.URL(t, "")), "pgping:latency", jobs.Warning, "most of it for ")
	o.Latency = reach.Latency{Crit: 1}
	wants(t, ping(t, o, pgtest.URL(t, "")), "pgping:latency", jobs.Critical, "limit 1ns")
}

// TestStopped: what ends the attempt is no fault of the server.
func TestStopped(t *testing.T) {
	t.Parallel()
	errWanted := errors.New("enough")
	proxy := pgtest.NewProxy(t, pgtest.URL(t, ""))
	ctx, cancel := context.WithCancelCause(t.Context())
	proxy.Watch(func(int) { cancel(errWanted) }, func(int) {})
	proxy.Stall()
	if r, err := try(ctx, t, patient(t), proxy.URL); !errors.Is(err, errWanted) || len(r.Findings) > 0 {
		t.Errorf("%v, %+v", err, r.Findings)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *pgping.Options)
		want   string
	}{
		"database":    {func(o *pgping.Options) { o.Database = "other" }, `database: no database "other"`},
		"kind":        {func(o *pgping.Options) { o.Database = "cache" }, `database: database "cache" is of the kind redis`},
		"timeout":     {func(o *pgping.Options) { o.Timeout = 0 }, "timeout: it must be above 0"},
		"order":       {func(o *pgping.Options) { o.Latency = reach.Latency{Warn: 2e9, Crit: 1e9} }, "latency.warn: 2s is above crit, 1s"},
		"never":       {func(o *pgping.Options) { o.Timeout = 5e9 }, "latency.crit: 5s is never reached"},
		"lag":         {func(o *pgping.Options) { o.Lag = reach.Latency{Warn: 2e9, Crit: 1e9} }, "lag.warn: 2s is above crit, 1s"},
		"idle":        {func(o *pgping.Options) { o.Idle.Crit = 1 }, "idle_in_transaction.warn: 15m is above"},
		"connections": {func(o *pgping.Options) { o.Connections.Warn = 99 }, "connections.warn: 99% is above crit, 95%"},
		"role":        {func(o *pgping.Options) { o.Role = "leader" }, `role: "leader" is none of`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := pgping.Kind().Options()
			o := jobstest.Options[pgping.Options](t, options)
			o.Database = "main"
			tt.change(o)
			deps := jobstest.NewDeps(t)
			deps.AddDatabase(jobs.Database{Name: "main", Kind: jobs.Postgres})
			deps.AddDatabase(jobs.Database{Name: "cache", Kind: jobs.Redis})
			if _, err := pgping.Kind().Build(options, deps); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
