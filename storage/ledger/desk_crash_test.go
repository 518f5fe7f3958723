package ledger_test

import (
	"context"
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

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// childDesk does everything that happens to incidents, one after the other, and
// has itself killed at a random moment. Its clock is ahead by order.Lease.
func childDesk(ctx context.Context, o order) error {
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN)})
	if err != nil {
		return err
	}
	if err := l.Register(ctx); err != nil {
		return err
	}
	first := runner.Fault{
		Fingerprint: fmt.Sprintf("start/%d", o.Lease), Severity: jobs.Warning, Reason: "check", Title: "x", At: time.Now(),
		Channels: []string{"ops"}, Evidence: []runner.Evidence{{Name: "x", Text: "y"}},
	}
	if _, err := l.Raise(ctx, first); err != nil {
		return err
	}
	say("ready")
	done := 0
	for now := time.Now().Add(o.Lease); ; now = now.Add(time.Minute) {
		if done++; done == 4 {
			time.AfterFunc(time.Duration(rand.IntN(150_000))*time.Microsecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
		}
		name := fmt.Sprintf("c%d", rand.IntN(3))
		fault := runner.Fault{
			Fingerprint: "check/" + name, Check: name, Severity: []jobs.Severity{jobs.Warning, jobs.Critical}[rand.IntN(2)], Reason: "check",
			Title: name, At: now, Channels: []string{"ops", "pager"}[:1+rand.IntN(2)], Evidence: []runner.Evidence{{Name: "x", Text: "y"}},
		}
		if name == "c2" {
			fault.Parent = "check/c0"
		}
		var err error
		switch rand.IntN(7) {
		case 0, 1:
			_, err = l.Raise(ctx, fault)
		case 2:
			_, err = l.Clear(ctx, fault.Fingerprint, now)
		case 3:
			_, err = l.Settle(ctx, now)
		case 4:
			_, err = l.Silence(ctx, runner.Silence{Check: name, Why: "x", By: "anna", Since: now, Until: now.Add(5 * time.Minute)})
		case 5:
			var open []runner.Incident
			if open, err = l.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: 1}); len(open) == 1 && err == nil {
				err = l.Ack(ctx, open[0].ID, "anna", "", now.Add(time.Hour))
			}
		case 6:
			var taken []runner.Notice
			taken, _, err = l.Take(ctx, "ops", time.Now().Add(time.Hour), time.Hour, 3)
			for _, n := range taken {
				err = errors.Join(err, l.Sent(ctx, n.ID, "ok"))
			}
		}
		if err != nil {
			return err
		}
	}
}

func TestSQLite_KillAtTheDesk(t *testing.T) {
	t.Parallel()
	testKillAtTheDesk(t, ledgertest.SQLite(t))
}

func TestPostgres_KillAtTheDesk(t *testing.T) {
	t.Parallel()
	testKillAtTheDesk(t, ledgertest.Postgres(t))
}

// startEntries is what the incident that a child opens at its start leaves in the
// timeline: that it opened, and its evidence.
const startEntries = 2

// testKillAtTheDesk: a process is killed again and again while incidents
// change. What is on record then is whole: timelines, states and notices agree.
func testKillAtTheDesk(t *testing.T, dsn secret.String) {
	rounds := 12
	if os.Getenv("UPKEEP_SOAK") != "" {
		rounds = 200
	}
	l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Flapping = ledger.Flapping{} })
	grew := 0
	for round := range rounds {
		before := notesOf(t, l)
		c := startChild(t, order{Role: "desk", DSN: dsn.Reveal(), Lease: time.Duration(round) * 24 * time.Hour})
		if line := c.line(); line != "ready" {
			t.Fatalf("the child says %q\n%s", line, c.stderr)
		}
		var exit *exec.ExitError
		if err := c.cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the child ended with %v, want a kill\n%s", err, c.stderr)
		}
		awaitServer(t, l)
		if notesOf(t, l) > before+startEntries {
			grew++
		}
		checkDesk(t, l)
	}
	t.Logf("%d kills, %d of processes that had changed something", rounds, grew)
	if grew < rounds/2 {
		t.Errorf("only %d of %d killed processes had changed anything", grew, rounds)
	}
}

func notesOf(t *testing.T, l *ledger.Ledger) (entries int) {
	t.Helper()
	if err := l.Database().QueryRow("SELECT COUNT(*) FROM entries").Scan(&entries); err != nil {
		t.Fatal(err)
	}
	return entries
}

// checkDesk looks whether what is on record about each incident agrees.
func checkDesk(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	incidents, err := l.Incidents(t.Context(), runner.IncidentFilter{Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range incidents {
		timeline, err := l.Timeline(t.Context(), i.ID)
		if err != nil {
			t.Fatal(err)
		}
		count, suppressed := map[runner.EntryKind]int{}, false
		for _, e := range timeline {
			count[e.Kind]++
			if e.Kind == runner.EntrySuppressed || e.Kind == runner.EntryReleased {
				suppressed = e.Kind == runner.EntrySuppressed
			}
		}
		resolved := i.State == runner.IncidentResolved
		if count[runner.EntryOpened] != 1 || count[runner.EntryEvidence] != 1 || (count[runner.EntryResolved] == 1) != resolved {
			t.Errorf("incident %s is %s: %v", i.ID, i.State, count)
		}
		if !resolved && suppressed != (i.Suppressed != "") {
			t.Errorf("incident %s, suppressed by %q: %v", i.ID, i.Suppressed, count)
		}
		notices, err := l.Notices(t.Context(), runner.NoticeFilter{Incident: i.ID, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		told, reached := map[string][]runner.NoticeAction{}, map[string]bool{}
		for _, n := range slices.Backward(notices) {
			told[n.Channel] = append(told[n.Channel], n.Action)
			reached[n.Channel] = reached[n.Channel] || n.State == runner.NoticeSent || n.State == runner.NoticeSending
			if resolved && n.Action != runner.NoticeResolve && n.State == runner.NoticePending {
				t.Errorf("incident %s has ended, and %s is still owed %s", i.ID, n.Channel, n.Action)
			}
		}
		for _, channel := range i.Channels {
			list := told[channel]
			if len(list) == 0 || list[0] != runner.NoticeOpen || (list[len(list)-1] == runner.NoticeResolve) != resolved {
				t.Errorf("incident %s is %s, and %s is told %v", i.ID, i.State, channel, list)
			}
		}
		for channel := range told {
			// From whom all was withheld until the end, they are told nothing.
			if !slices.Contains(i.Channels, channel) && (!resolved || reached[channel]) {
				t.Errorf("incident %s is %s and was told to %s, and there are notices for %v", i.ID, i.State, strings.Join(i.Channels, ", "), told)
			}
		}
	}
}
