package pgvacuum_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// outcome is what a run in the background ended with.
type outcome struct {
	result jobs.Result
	err    error
}

// begin starts the job and returns its outcome when it has ended.
func (b *bench) begin(ctx context.Context) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, err := b.run(ctx)
		done <- outcome{r, err}
	}()
	return done
}

// applicationName begins the names of our sessions, and workName those of them
// that work.
const (
	applicationName = "upkeep vacuum "
	workName        = applicationName + "work "
)

// worker waits until the work session of the job waits for a lock and returns
// its process.
func (b *bench) worker(c *pgx.Conn) int32 {
	b.t.Helper()
	return pgtest.Blocked(b.t, c, b.name, workName)
}

// noWork wants the sessions of the job to end.
func (b *bench) noWork(c *pgx.Conn) {
	b.t.Helper()
	pgtest.Gone(b.t, c, b.name, applicationName)
}

// twoTables is a bench with two bloated tables, the first more urgent, and a
// transaction that holds a lock on it.
func twoTables(t *testing.T, mode string) (b *bench, holder, c *pgx.Conn) {
	t.Helper()
	b = newBench(t, append(bloated("first", "20000"), bloated("second", "5000")...)...)
	holder = pgtest.Connect(t, pgtest.Called(t, b.url, "holder"))
	pgtest.Exec(t, holder, "BEGIN", "LOCK TABLE first IN "+mode+" MODE")
	return b, holder, b.conn()
}

// TestLocked: a locked table is skipped, tried again at the end and reported
// with its holder; the others are done.
func TestLocked(t *testing.T) {
	t.Parallel()
	b, holder, c := twoTables(t, "ACCESS EXCLUSIVE")
	b.options.LockTimeout = unit.Duration(300 * time.Millisecond)
	r := b.good()
	if r.Values["tables_locked"] != 1 || r.Values["tables_vacuumed"] != 1 {
		t.Errorf("values %v", r.Values)
	}
	f := finding(r, "locked:"+b.name+"/first")
	if f.Severity != jobs.Warning || !strings.Contains(f.Text, "application holder") || !strings.Contains(f.Text, "idle in transaction") {
		t.Errorf("finding %+v", f)
	}
	out := b.out.String()
	if strings.Count(out, "first: locked") != 2 || !strings.Contains(out, "1 table again") || strings.Index(out, "second: vacuumed") > strings.Index(out, "1 table again") {
		t.Errorf("output:\n%s", out)
	}
	pgtest.Exec(t, holder, "ROLLBACK")
	r = b.good()
	if r.Values["tables_vacuumed"] != 1 || pgtest.Ask[int64](t, c, "SELECT pg_stat_get_dead_tuples('first'::regclass)") != 0 {
		t.Errorf("values %v", r.Values)
	}
}

// TestRetried: who lets go in time is vacuumed in the second turn.
func TestRetried(t *testing.T) {
	t.Parallel()
	b, holder, c := twoTables(t, "SHARE UPDATE EXCLUSIVE")
	b.options.LockTimeout = unit.Duration(10 * time.Minute)
	done := b.begin(t.Context())
	b.worker(c) // in the second turn, because the first one does not wait
	pgtest.Exec(t, holder, "ROLLBACK")
	o := <-done
	if o.err != nil || o.result.Values["tables_vacuumed"] != 2 || o.result.Values["tables_locked"] != 0 || len(o.result.Findings) > 0 {
		t.Errorf("%v, %+v", o.err, o.result)
	}
}

// TestWaits: the wait is counted, and the output says for whom.
func TestWaits(t *testing.T) {
	t.Parallel()
	b, holder, c := twoTables(t, "SHARE")
	b.options.LockTimeout, b.options.SkipLocked = unit.Duration(10*time.Minute), false
	done := b.begin(t.Context())
	b.worker(c)
	for deadline := time.Now().Add(time.Minute); !strings.Contains(b.out.String(), "first waits for a lock that process"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("output:\n%s", b.out)
		}
	}
	pgtest.Exec(t, holder, "ROLLBACK")
	o := <-done
	if o.err != nil || o.result.Values["lock_wait_seconds.first"] <= 0 || o.result.Values["lock_wait_seconds"] <= 0 || strings.Count(b.out.String(), "waits for a lock") != 1 {
		t.Errorf("%v, %+v", o.err, o.result)
	}
}

// TestCanceled: a run that is ended stops the statement on the server.
func TestCanceled(t *testing.T) {
	t.Parallel()
	b, _, c := twoTables(t, "ACCESS EXCLUSIVE")
	b.options.LockTimeout, b.options.SkipLocked = unit.Duration(10*time.Minute), false
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	done := b.begin(ctx)
	b.worker(c)
	stop := errors.New("that is enough")
	cancel(stop)
	o := <-done
	if !errors.Is(o.err, stop) || o.result.Values["tables_left"] != 2 {
		t.Errorf("%v, %+v", o.err, o.result.Values)
	}
	b.noWork(c)
}

// TestBudget: what is under way when the time is over is canceled, and what was
// left is said.
func TestBudget(t *testing.T) {
	t.Parallel()
	b, _, c := twoTables(t, "ACCESS EXCLUSIVE")
	b.options.LockTimeout, b.options.SkipLocked = unit.Duration(10*time.Minute), false
	b.options.TimeBudget, b.options.Overrun = unit.Duration(5*time.Second), 0
	r := b.good()
	if r.Values["tables_left"] != 2 || r.Values["tables_vacuumed"] != 0 || !strings.HasPrefix(finding(r, "left").Text, "2 tables left for the next run, the most urgent first") {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(b.out.String(), "first: left: canceled") {
		t.Errorf("output:\n%s", b.out)
	}
	b.noWork(c)
	b.options.TimeBudget = 1
	if r := b.good(); r.Values["tables_left"] != 2 || !strings.Contains(b.out.String(), "second: left: the time was over before its turn") {
		t.Errorf("%+v", r)
	}
}

// TestKilledByAdministrator: who cancels a statement on the server means that
// table alone; who ends the session means all of them.
func TestKilledByAdministrator(t *testing.T) {
	t.Parallel()
	for kill, want := range map[string]float64{"pg_cancel_backend": 1, "pg_terminate_backend": 0} {
		t.Run(kill, func(t *testing.T) {
			t.Parallel()
			b, holder, c := twoTables(t, "ACCESS EXCLUSIVE")
			b.options.LockTimeout, b.options.SkipLocked = unit.Duration(10*time.Minute), false
			done := b.begin(t.Context())
			pgtest.Exec(t, c, fmt.Sprintf("SELECT %s(%d)", kill, b.worker(c)))
			o := <-done
			if o.result.Values["tables_vacuumed"] != want || o.result.Values["tables_left"] != 2-want {
				t.Errorf("%v, values %v", o.err, o.result.Values)
			}
			if want == 1 && (o.err != nil || !strings.Contains(finding(o.result, "canceled:"+b.name+"/first").Text, "somebody canceled")) {
				t.Errorf("%v, findings %v", o.err, o.result.Findings)
			}
			if want == 0 && (o.err == nil || !strings.Contains(o.err.Error(), "terminating connection due to administrator command") || jobs.HintOf(o.err) == "") {
				t.Errorf("%v", o.err)
			}
			pgtest.Exec(t, holder, "ROLLBACK")
			if r := b.good(); r.Values["tables_vacuumed"] != 2-want {
				t.Errorf("afterwards: %v", r.Values)
			}
		})
	}
}

// TestControlLost: without the connection that holds the advisory lock nothing
// goes on.
func TestControlLost(t *testing.T) {
	t.Parallel()
	b, _, c := twoTables(t, "ACCESS EXCLUSIVE")
	b.options.LockTimeout, b.options.SkipLocked = unit.Duration(10*time.Minute), false
	done := b.begin(t.Context())
	b.worker(c)
	if n := pgtest.Ask[int64](t, c, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'upkeep vacuum control %'", b.name); n != 1 {
		t.Errorf("%d control sessions", n)
	}
	o := <-done
	if o.err == nil || !strings.Contains(o.err.Error(), "advisory lock was lost") || o.result.Values["tables_left"] != 2 {
		t.Errorf("%v, values %v", o.err, o.result.Values)
	}
	b.noWork(c)
}

// TestTwoHosts: while one vacuums a database, another one does not.
func TestTwoHosts(t *testing.T) {
	t.Parallel()
	b, holder, c := twoTables(t, "ACCESS EXCLUSIVE")
	b.options.LockTimeout, b.options.SkipLocked = unit.Duration(10*time.Minute), false
	done := b.begin(t.Context())
	b.worker(c)
	_, err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "another upkeep vacuums database "+b.name) || !strings.Contains(err.Error(), b.runID[:20]) || jobs.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	pgtest.Exec(t, holder, "ROLLBACK")
	if o := <-done; o.err != nil || o.result.Values["tables_vacuumed"] != 2 {
		t.Errorf("%v, %+v", o.err, o.result.Values)
	}
}

// TestLeftAtWork: the next run ends what a dead one left on the server.
func TestLeftAtWork(t *testing.T) {
	t.Parallel()
	b := newBench(t, bloated("orders", "5000")...)
	left := pgtest.Connect(t, pgtest.Called(t, b.url, workName+"run-dead"))
	ended := make(chan error, 1)
	go func() {
		_, err := left.Exec(context.Background(), "SELECT pg_sleep(3600)")
		ended <- err
	}()
	pgtest.Session(t, b.conn(), b.name, workName, "wait_event = 'PgSleep'")
	var effects []string
	b.hooks.Effect = func(what string) { effects = append(effects, what) }
	if r := b.good(); r.Values["tables_vacuumed"] != 1 {
		t.Errorf("%+v", r)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "57P01") {
		t.Errorf("the session that was left: %v", err)
	}
	if len(effects) < 2 || !strings.HasPrefix(effects[0], "end what a dead run left at work in database "+b.name) {
		t.Errorf("effects %q", effects)
	}
}
