package ledger_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// slotsPerDecision is how many slots of each workflow childDecide decides at
// once.
const slotsPerDecision = 7

var decideWorkflows = []string{"a", "b", "c"}

// childDecide goes on where the cursors stand, as fast as it can.
func childDecide(ctx context.Context, o order) error {
	l, err := ledger.Open(ctx, ledger.Options{DSN: secret.New(o.DSN)})
	if err != nil {
		return err
	}
	through := ledgertest.Midnight()
	cursors, err := l.Cursors(ctx, "")
	if err != nil {
		return err
	}
	for _, c := range cursors {
		through = c.Through
	}
	for {
		var list []runner.Decided
		for _, name := range decideWorkflows {
			d := runner.Decided{Cursor: runner.Cursor{CalendarKey: runner.CalendarKey{Workflow: name}, Schedule: "every: 1m"}}
			for i := range slotsPerDecision {
				r := ledgertest.Request(name, through.Add(time.Duration(i+1)*time.Minute))
				r.Overlap = runner.OverlapSkip
				d.Requests = append(d.Requests, r)
			}
			d.Cursor.Through = through.Add(slotsPerDecision * time.Minute)
			list = append(list, d)
		}
		if _, err := l.Decide(ctx, list...); err != nil {
			return err
		}
		through = through.Add(slotsPerDecision * time.Minute)
		say("%d", through.UnixMicro())
	}
}

func TestSQLite_KillDecide(t *testing.T) {
	t.Parallel()
	killDecide(t, ledgertest.SQLite(t))
}

func TestPostgres_KillDecide(t *testing.T) {
	t.Parallel()
	killDecide(t, ledgertest.Postgres(t))
}

// killDecide kills a process that decides slots, many times: rows and cursors
// agree after each kill, and no slot is lost or doubled.
func killDecide(t *testing.T, dsn secret.String) {
	t.Helper()
	rounds := 12
	if os.Getenv("UPKEEP_SOAK") != "" {
		rounds = 300
	}
	l := ledgertest.Open(t, dsn, nil)
	decided := int64(0)
	for round := range rounds {
		c := startChild(t, order{Role: "decide", DSN: dsn.Reveal()})
		var confirmed int64
		for range 1 + rand.IntN(15) {
			if _, err := fmt.Sscan(c.line(), &confirmed); err != nil {
				t.Fatal(err)
			}
		}
		c.kill()
		cursors, err := l.Cursors(t.Context(), "")
		if err != nil || len(cursors) != len(decideWorkflows) {
			t.Fatalf("%d cursors, %v", len(cursors), err)
		}
		for _, cursor := range cursors {
			if cursor.Through.UnixMicro() < confirmed {
				t.Errorf("after kill %d the cursor of %s stands before what was confirmed", round+1, cursor.Workflow)
			}
			decided = checkDecided(t, l, cursor)
		}
	}
	t.Logf("%d kills, %d slots of each workflow", rounds, decided)
	if decided < int64(rounds) {
		t.Errorf("only %d slots are on record: the kills hit nothing", decided)
	}
}

// checkDecided returns how many slots of a calendar are on record, after it has
// looked that they are all up to the cursor and none beyond.
func checkDecided(t *testing.T, l *ledger.Ledger, cursor runner.Cursor) int64 {
	t.Helper()
	want := int64(cursor.Through.Sub(ledgertest.Midnight()) / time.Minute)
	var rows, open int64
	var last sql.NullInt64
	const query = "SELECT COUNT(*), MAX(slot), COUNT(CASE WHEN state = 'queued' THEN 1 END) FROM runs WHERE workflow = "
	if err := l.Database().QueryRow(query+"'"+cursor.Workflow+"'").Scan(&rows, &last, &open); err != nil {
		t.Fatal(err)
	}
	if rows != want || last.Int64 != cursor.Through.UnixMicro() || open != 1 {
		t.Errorf("%s is decided through %s: %d rows, want %d, the last at %d, %d open, want 1", cursor.Workflow, cursor.Through, rows, want, last.Int64, open)
	}
	return rows
}
