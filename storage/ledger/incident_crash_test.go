package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// crashAlarm raises a fault for each bad end, clears it with each good one,
// and now and then has its process killed: at once, or at a random moment from
// then on, before the transaction's commit, during it, or after.
type crashAlarm struct{ atOnce bool }

func (a crashAlarm) Judge(run runner.Run) runner.Verdict {
	if rand.IntN(12) == 0 {
		say("judging %s", run.ID)
		kill := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
		if a.atOnce {
			kill()
		}
		time.AfterFunc(time.Microsecond<<rand.IntN(13), kill)
	}
	return crashVerdict(run)
}

func crashVerdict(run runner.Run) runner.Verdict {
	fingerprint := "workflow/" + run.Spec.Workflow
	if run.State.Done() {
		return runner.Verdict{Clear: fingerprint}
	}
	return runner.Verdict{Raise: &runner.Fault{
		Fingerprint: fingerprint, Workflow: run.Spec.Workflow, Severity: jobs.Critical, Reason: "failed", Title: run.Message,
		Run: run.ID, At: run.FinishedAt, Channels: []string{"ops", "pager"},
	}}
}

// childAlarm ends runs in every way, one after the other, until it is killed.
func childAlarm(atOnce bool) func(context.Context, order) error {
	return func(ctx context.Context, o order) error { return endRuns(ctx, o, crashAlarm{atOnce}) }
}

func endRuns(ctx context.Context, o order, alarm runner.Alarm) error {
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN), Alarm: alarm, Flapping: ledger.Flapping{Changes: -1}})
	if err != nil {
		return err
	}
	if err := l.Register(ctx); err != nil {
		return err
	}
	for {
		request := ledgertest.Request(fmt.Sprintf("w-%d", rand.IntN(3)), time.Now())
		what := rand.IntN(8)
		if what == 0 {
			request.State, request.Reason = runner.Skipped, runner.ReasonMissed
		}
		answers, err := l.Submit(ctx, request)
		if err != nil || answers[0].Duplicate || what == 0 {
			if err != nil {
				return err
			}
			continue
		}
		id := answers[0].Run
		if what == 1 {
			if _, err := l.Cancel(ctx, id, "anna"); err != nil {
				return err
			}
			continue
		}
		c, _, err := l.Claim(ctx, id)
		if err != nil {
			return err
		}
		finish := runner.Finish{State: runner.Failed, Reason: runner.ReasonError, Message: "it broke"}
		if what > 4 {
			finish = runner.Finish{State: runner.Succeeded}
		}
		if _, err := l.Advance(ctx, c, runner.Step{Finish: &finish}); err != nil {
			return err
		}
	}
}

func TestSQLite_KillBetweenEndAndNotice(t *testing.T) {
	t.Parallel()
	testKillBetweenEndAndNotice(t, ledgertest.SQLite(t))
}

func TestPostgres_KillBetweenEndAndNotice(t *testing.T) {
	t.Parallel()
	testKillBetweenEndAndNotice(t, ledgertest.Postgres(t))
}

// testKillBetweenEndAndNotice: a process is killed again and again while it
// records ends of runs. What is on record about incidents and notices is always
// exactly what follows from the runs on record.
func testKillBetweenEndAndNotice(t *testing.T, dsn secret.String) {
	rounds := 15
	if os.Getenv("UPKEEP_SOAK") != "" {
		rounds = 300
	}
	l := ledgertest.Open(t, dsn, nil)
	kept, gone := 0, 0
	for round := range rounds {
		c := startChild(t, order{Role: []string{"alarm", "alarm at once"}[round%2], DSN: dsn.Reveal()})
		var judged runner.RunID
		for c.stdout.Scan() {
			id, found := strings.CutPrefix(c.stdout.Text(), "judging ")
			if !found {
				t.Fatalf("the child says %q", c.stdout.Text())
			}
			judged = runner.RunID(id)
		}
		var exit *exec.ExitError
		if err := c.cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the child ended with %v, want a kill\n%s", err, c.stderr)
		}
		if judged == "" {
			t.Fatal("the child was killed before it judged anything")
		}
		awaitServer(t, l)
		run, err := l.Run(t.Context(), string(judged))
		switch {
		case err == nil && run.State.Final():
			kept++
		case err == nil || errors.Is(err, runner.ErrNotFound):
			gone++
		default:
			t.Fatal(err)
		}
		checkAlerts(t, l)
	}
	t.Logf("%d kills: %d before the end was on record, %d after", rounds, gone, kept)
	if gone < rounds/2 {
		t.Errorf("only %d of %d kills hit a transaction between the end and the commit", gone, rounds)
	}
}

// awaitServer waits until the server has worked off what a killed client asked
// of it, which may be a commit.
func awaitServer(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	if l.Dialect() != "postgres" {
		return
	}
	const query = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'upkeep/%' AND application_name <> 'upkeep/node-1'"
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		var sessions int
		if err := l.Database().QueryRow(query).Scan(&sessions); err != nil {
			t.Fatal(err)
		}
		if sessions == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions of the killed process are left", sessions)
		}
	}
}

// alertRow is what is on record of one incident: the run that showed it last,
// how often it occurred, the run that ended it, and its notices.
type alertRow struct {
	Fingerprint   string
	Run, Resolver runner.RunID
	Count         int
	Notices       []string
}

// checkAlerts compares the incidents and notices with what follows from the
// ends of runs, in their order: one process made them one after the other.
func checkAlerts(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	runs, err := l.Runs(t.Context(), runner.Filter{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	runs = slices.DeleteFunc(runs, func(r runner.Run) bool { return !r.State.Final() })
	slices.SortFunc(runs, func(a, b runner.Run) int { return a.FinishedAt.Compare(b.FinishedAt) })
	var want []*alertRow
	open := map[string]*alertRow{}
	for _, run := range runs {
		v := crashVerdict(run)
		switch row := open[v.Clear]; {
		case v.Raise != nil:
			row := open[v.Raise.Fingerprint]
			if row == nil {
				row = &alertRow{Fingerprint: v.Raise.Fingerprint, Notices: []string{"ops open pending", "pager open pending"}}
				open[v.Raise.Fingerprint], want = row, append(want, row)
			}
			row.Run, row.Count = run.ID, row.Count+1
		case row != nil:
			row.Resolver = run.ID
			row.Notices = []string{"ops open superseded", "ops resolve pending*", "pager open superseded", "pager resolve pending*"}
			delete(open, v.Clear)
		}
	}
	incidents, err := l.Incidents(t.Context(), runner.IncidentFilter{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	notices, err := l.Notices(t.Context(), runner.NoticeFilter{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string][]string{}
	for _, n := range notices {
		text := fmt.Sprintf("%s %s %s", n.Channel, n.Action, n.State)
		if n.Combined {
			text += "*"
		}
		told[n.Incident] = append(told[n.Incident], text)
	}
	var got []*alertRow
	for _, i := range slices.Backward(incidents) {
		slices.Sort(told[i.ID])
		got = append(got, &alertRow{i.Fingerprint, i.Run, i.Resolver, i.Count, told[i.ID]})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("after %d ends of runs (-want +got):\n%s", len(runs), diff)
	}
	if len(told) != len(incidents) {
		t.Errorf("notices of %d incidents, want of all %d", len(told), len(incidents))
	}
}

// childSender takes a notice, says so, and is then sending until it is killed.
func childSender(ctx context.Context, o order) error {
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN), Exclusive: true, LeaseTTL: o.Lease})
	if err != nil {
		return err
	}
	if err := l.Register(ctx); err != nil {
		return err
	}
	taken, _, err := l.Take(ctx, "ops", time.Now().Add(time.Second), time.Hour, 10)
	if err != nil {
		return err
	}
	text, err := json.Marshal(taken)
	say("%s", text)
	return errors.Join(err, stay())
}

func TestSQLite_KillWhileSending(t *testing.T) {
	t.Parallel()
	testKillWhileSending(t, ledgertest.SQLite(t))
}

func TestPostgres_KillWhileSending(t *testing.T) {
	t.Parallel()
	testKillWhileSending(t, ledgertest.Postgres(t))
}

// testKillWhileSending: what a killed daemon was sending is due as soon as the
// next one has registered, long before its lease ends, and under the same ID.
func testKillWhileSending(t *testing.T, dsn secret.String) {
	first := ledgertest.Open(t, dsn, nil)
	f := runner.Fault{Fingerprint: "x", Severity: jobs.Critical, Reason: "failed", Title: "x", Channels: []string{"ops"}}
	if _, err := first.Raise(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	c := startChild(t, order{Role: "sender", DSN: dsn.Reveal(), Lease: time.Hour})
	var sending []runner.Notice
	if err := json.Unmarshal([]byte(c.line()), &sending); err != nil || len(sending) != 1 {
		t.Fatalf("the child sends %+v, %v", sending, err)
	}
	c.kill()
	next := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Exclusive, o.LeaseTTL = true, time.Hour })
	if err := next.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken, _, err := next.Take(t.Context(), "ops", time.Now().Add(2*time.Second), time.Minute, 10)
	if err != nil || len(taken) != 1 || taken[0].ID != sending[0].ID || taken[0].Attempts != 2 {
		t.Errorf("after the kill: %+v, %v, want the notice that was being sent", taken, err)
	}
}
