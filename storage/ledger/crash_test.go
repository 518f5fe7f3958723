package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
	"github.com/ghosteam/upkeep/storage/object"
)

func trafficEnd(a runner.Attempt) runner.Attempt {
	a = ledgertest.Ended(a, runner.Succeeded)
	a.Result = jobs.Result{Summary: fmt.Sprintf("attempt %d", a.Number)}
	for i := range 5 {
		a.Result.Artifacts = append(a.Result.Artifacts, object.Info{Store: "s", Key: fmt.Sprintf("%d/%d", a.Number, i)})
	}
	return a
}

func trafficOutput(n int) runner.Output {
	return runner.Output{Head: bytes.Repeat([]byte(strconv.Itoa(n)+" "), 20_000)}
}

// TestSQLite_Kill kills a process that records steps as fast as it can, many
// times, and each time finds whole steps only: what was confirmed is there,
// what is there is complete.
func TestSQLite_Kill(t *testing.T) {
	t.Parallel()
	rounds := 12
	if os.Getenv("UPKEEP_SOAK") != "" {
		rounds = 500
	}
	dsn := ledgertest.SQLite(t)
	l := ledgertest.Open(t, dsn, nil)
	answers, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	id := answers[0].Run
	total, midway := 0, 0
	for round := range rounds {
		c := startChild(t, order{Role: "traffic", DSN: dsn.Reveal(), Run: id})
		confirmed := 0
		for range 1 + rand.IntN(40) {
			if confirmed, err = strconv.Atoi(c.line()); err != nil {
				t.Fatal(err)
			}
		}
		// The steps go on while the signal travels.
		c.kill()
		for c.stdout.Scan() {
			if confirmed, err = strconv.Atoi(c.stdout.Text()); err != nil {
				t.Fatal(err)
			}
		}
		total = checkSteps(t, l, id, confirmed)
		if total > confirmed {
			midway++
		}
		if err := checkIntegrity(l); err != nil {
			t.Fatalf("after kill %d: %v", round+1, err)
		}
	}
	t.Logf("%d kills, %d of them between a commit and its confirmation, %d attempts on record", rounds, midway, total)
	if total < rounds {
		t.Errorf("only %d attempts are on record: the kills hit nothing", total)
	}
}

// crowdWriters is how many goroutines write in the process that
// TestSQLite_KillCrowd kills.
const crowdWriters = 40

// TestSQLite_KillCrowd kills a process whose writers share commits: what any of
// them confirmed is there.
func TestSQLite_KillCrowd(t *testing.T) {
	t.Parallel()
	rounds := 6
	if os.Getenv("UPKEEP_SOAK") != "" {
		rounds = 200
	}
	dsn := ledgertest.SQLite(t)
	l := ledgertest.Open(t, dsn, nil)
	confirmed, unconfirmed := map[string]bool{}, 0
	for round := range rounds {
		c := startChild(t, order{Role: "crowd", DSN: dsn.Reveal()})
		for range 1 + rand.IntN(10*crowdWriters) {
			confirmed[c.line()] = true
		}
		c.kill()
		for c.stdout.Scan() {
			// The pipe ends anywhere, also within a line.
			if id := c.stdout.Text(); len(id) == len("00000000-0000-7000-8000-000000000000") {
				confirmed[id] = true
			}
		}
		runs, err := l.Runs(t.Context(), runner.Filter{Limit: 1_000_000})
		if err := errors.Join(err, checkIntegrity(l)); err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, run := range runs {
			found[string(run.ID)] = true
		}
		for id := range confirmed {
			if !found[id] {
				t.Errorf("after kill %d: run %q was confirmed and is gone", round+1, id)
			}
		}
		unconfirmed = len(found) - len(confirmed)
	}
	t.Logf("%d kills, %d runs confirmed, %d more on record", rounds, len(confirmed), unconfirmed)
	if len(confirmed) < rounds {
		t.Errorf("only %d runs were confirmed: the kills hit nothing", len(confirmed))
	}
}

// checkSteps returns how many attempts are on record after it has looked that
// each is complete and that none which was confirmed is missing.
func checkSteps(t *testing.T, l *ledger.Ledger, id runner.RunID, confirmed int) int {
	t.Helper()
	attempts, err := l.Attempts(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(attempts) < confirmed {
		t.Errorf("%d attempts are on record, but %d were confirmed", len(attempts), confirmed)
	}
	open := 0
	for _, a := range attempts {
		if a.State == runner.Running {
			open++
		}
		if a.State != runner.Succeeded {
			continue // running or lost
		}
		out, err := l.Output(t.Context(), a.Key())
		if err != nil || !bytes.Equal(out.Head, trafficOutput(a.Number).Head) {
			t.Errorf("output of attempt %d: %d bytes, %v", a.Number, len(out.Head), err)
		}
		var artifacts int
		if err := l.Database().QueryRow("SELECT COUNT(*) FROM artifacts WHERE run = ? AND number = ?", id, a.Number).Scan(&artifacts); err != nil || artifacts != 5 {
			t.Errorf("attempt %d has %d artifacts, %v", a.Number, artifacts, err)
		}
	}
	locks, err := l.Locks(t.Context())
	if err != nil || open > 1 || len(locks) != open {
		t.Errorf("%d attempts run and hold %d locks (%v)", open, len(locks), err)
	}
	return len(attempts)
}

func checkIntegrity(l *ledger.Ledger) error {
	var verdict string
	if err := l.Database().QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("integrity check: %s", verdict)
	}
	var violations int
	if err := l.Database().QueryRow("SELECT COUNT(*) FROM pragma_foreign_key_check").Scan(&violations); err != nil {
		return err
	}
	if violations > 0 {
		return fmt.Errorf("%d foreign keys are violated", violations)
	}
	return nil
}

// TestSQLite_Full: the database may not grow any further.
func TestSQLite_Full(t *testing.T) {
	t.Parallel()
	l := ledgertest.Join(t, ledgertest.SQLite(t), "a", time.Hour)
	answers, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := l.Claim(t.Context(), answers[0].Run)
	if err != nil {
		t.Fatal(err)
	}
	a := ledgertest.Attempt("x", 1)
	if _, err := l.Advance(t.Context(), c, runner.Step{Begun: []runner.Start{{Attempt: a}}}); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		t.Helper()
		var now int
		if err := l.Writer().QueryRow(fmt.Sprintf("PRAGMA max_page_count = %d", pages)).Scan(&now); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite makes it the present size
	binary := make([]byte, 1<<20)
	for i := range binary {
		binary[i] = byte(rand.IntN(256))
	}
	end := runner.Step{
		Ended:  []runner.End{{Attempt: ledgertest.Ended(a, runner.Succeeded), Output: runner.Output{Head: binary}}},
		Finish: &runner.Finish{State: runner.Succeeded},
	}
	_, err = l.Advance(t.Context(), c, end)
	if !errors.Is(err, runner.ErrUnavailable) || !errors.Is(err, runner.ErrNoSpace) || strings.Contains(err.Error(), "rollback") || jobs.HintOf(err) == "" {
		t.Errorf("a full disk: %v (hint %q)", err, jobs.HintOf(err))
	}
	if run, err := l.Run(t.Context(), string(c.Run)); err != nil || run.State != runner.Running {
		t.Errorf("half a step is on record: %+v, %v", run, err)
	}
	limit(1 << 30)
	if _, err := l.Advance(t.Context(), c, end); err != nil {
		t.Errorf("the same step with space again: %v", err)
	}
	if err := checkIntegrity(l); err != nil {
		t.Error(err)
	}
}

// TestSQLite_WriteError: the operating system refuses to write, here because
// the file would exceed the process's limit, as a quota would.
func TestSQLite_WriteError(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	first := ledgertest.Open(t, dsn, nil)
	c := startChild(t, order{Role: "full", DSN: dsn.Reveal(), Limit: 2 << 20})
	said := c.line()
	c.wait()
	var written int
	if _, err := fmt.Sscan(said, &written); err != nil || written == 0 {
		t.Errorf("the child wrote nothing before the limit: %q", said)
	}
	if !strings.Contains(said, runner.ErrUnavailable.Error()) {
		t.Errorf("the failed write says %q", said)
	}
	runs, err := first.Runs(t.Context(), runner.Filter{Workflow: "w", Limit: 1000})
	if err != nil || len(runs) != written {
		t.Errorf("%d runs are on record (%v), want the %d that were confirmed", len(runs), err, written)
	}
	if runs, err := first.Runs(t.Context(), runner.Filter{Workflow: "after"}); err != nil || len(runs) != 1 {
		t.Errorf("after there was room again: %d runs, %v", len(runs), err)
	}
	if err := checkIntegrity(first); err != nil {
		t.Error(err)
	}
}

// TestSQLite_ReadAfterKill: what a killed process left in the write-ahead log
// is read by a process that never writes.
func TestSQLite_ReadAfterKill(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	l := ledgertest.Open(t, dsn, nil)
	answers, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := startChild(t, order{Role: "traffic", DSN: dsn.Reveal(), Run: answers[0].Run})
	for range 5 {
		c.line()
	}
	c.kill()
	wal, err := os.Stat(strings.TrimPrefix(dsn.Reveal(), "sqlite:") + "-wal")
	if err != nil || wal.Size() == 0 {
		t.Fatalf("the kill left no write-ahead log: %v", err)
	}
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: dsn})
	if err != nil {
		t.Fatalf("OpenReader: %v", err)
	}
	list, err := r.Attempts(t.Context(), answers[0].Run)
	if err != nil || len(list) < 5 {
		t.Errorf("%d attempts, %v, want at least 5", len(list), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestSQLite_ReadByOthers: users without the right to write read what they
// may, or learn what stands in their way.
func TestSQLite_ReadByOthers(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(open711(t), "state")
	nobody := asNobody(t)
	path := filepath.Join(folder, "upkeep.db")
	l, err := ledger.Open(t.Context(), ledger.Options{DSN: sqliteDSN(path)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight())); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		t.Helper()
		c := startChild(t, order{Role: "read", DSN: "sqlite:" + path}, nobody)
		defer c.wait()
		return c.line()
	}
	mode := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		if got := read(); !strings.Contains(got, "error") || !strings.Contains(got, "permission") {
			t.Errorf("a private ledger, read by another user: %q", got)
		}
	}
	// With the owner at work, its files may be read by those who are let in.
	mode(folder, 0o555)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		mode(path+suffix, 0o444)
	}
	if got := read(); got != "1 <nil>" {
		t.Errorf("a readable ledger in use: %q", got)
	}
	mode(folder, 0o755)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Without the owner there is no shared memory, and none can be made.
	mode(folder, 0o555)
	if got := read(); got != "1 <nil>" && (!strings.Contains(got, "error") || !strings.Contains(got, "permission to write into")) {
		t.Errorf("a readable ledger at rest: %q", got)
	}
	mode(folder, 0o755)
}
