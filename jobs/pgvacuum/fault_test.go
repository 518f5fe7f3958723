package pgvacuum_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// TestBrokenTable: a table that the server cannot analyze fails the job, after
// the others had their turn.
func TestBrokenTable(t *testing.T) {
	t.Parallel()
	b := newBench(t, append(append(bloated("broken", "20000"), bloated("sound", "5000")...),
		`CREATE FUNCTION public.twice(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 2 * n; END'`,
		`CREATE INDEX ON broken (public.twice(id))`,
		`CREATE OR REPLACE FUNCTION public.twice(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE EXCEPTION ''out of fuel''; END'`)...)
	r, err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "1 table failed: broken: ERROR: out of fuel") {
		t.Errorf("%v", err)
	}
	if f := finding(r, "failed:"+b.name+"/broken"); f.Severity != jobs.Critical || r.Values["tables_failed"] != 1 || r.Values["tables_vacuumed"] != 1 {
		t.Errorf("%+v", r)
	}
}

// TestManyLocked: findings are bounded, and all are counted.
func TestManyLocked(t *testing.T) {
	t.Parallel()
	var names, statements []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("table_%02d", i))
		statements = append(statements, bloated(names[i], "2000")...)
	}
	b := newBench(t, statements...)
	holder := b.conn()
	pgtest.Exec(t, holder, "BEGIN", "LOCK TABLE "+strings.Join(names, ", ")+" IN SHARE MODE")
	b.options.LockTimeout = unit.Duration(time.Millisecond)
	r := b.good()
	if r.Values["tables_locked"] != 30 || len(r.Findings) != 21 || finding(r, "locked-more").Text != "10 tables more: locked" {
		t.Errorf("%v, %d findings", r.Values, len(r.Findings))
	}
	pgtest.Exec(t, holder, "ROLLBACK")
	r = b.good()
	if n := len(r.Values); r.Values["tables_vacuumed"] != 30 || n != 16+25*9 {
		t.Errorf("%d values", n)
	}
}

// TestProgress: while a table is being read, progress moves; the pauses are the
// ones that were asked for.
func TestProgress(t *testing.T) {
	t.Parallel()
	b := newBench(t, bloated("orders", "100000")...)
	b.options.CostDelay, b.options.CostLimit = unit.Duration(100*time.Millisecond), 50
	stop := errors.New("seen enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var seen, total int64
	b.hooks.Progress = func(done, of int64, what string) {
		if done > 0 && done < of && what == "bytes" && seen == 0 {
			seen, total = done, of
			cancel(stop)
		}
	}
	r, err := b.run(ctx)
	if !errors.Is(err, stop) || seen == 0 || total < 4<<20 || r.Values["tables_left"] != 1 {
		t.Errorf("%v, %d of %d, %v", err, seen, total, r.Values)
	}
}

// TestSettings: a server that counts nothing is reported.
func TestSettings(t *testing.T) {
	t.Parallel()
	b := newBench(t, bloated("orders", "2000")...)
	pgtest.Exec(t, b.conn(), "ALTER DATABASE "+b.name+" SET track_counts = off")
	if f := finding(b.good(), "setting:"+b.name+"/track_counts"); f.Severity != jobs.Warning || !strings.Contains(f.Text, "nobody counts") {
		t.Errorf("finding %+v", f)
	}
}

// TestUnreachable: the error says what is wrong and what to do.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for address, want := range map[string]string{
		strings.Replace(b.url, b.name, "no_such_database", 1):             `database "no_such_database" does not exist`,
		"postgres://nobody:hunter2hunter2@127.0.0.1:1/db?sslmode=disable": "connect to 127.0.0.1:1/db",
		"not an address hunter2hunter2":                                   "the address of the database is not",
	} {
		b.url = address
		_, err := b.run(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}
