package ledger_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// A name that carries what never repeats is stopped before it fills the ledger.
func TestSQLite_TooManySeries(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	l := ledgertest.Open(t, dsn, nil)
	known := runner.Sample{Series: "known", Value: 1}
	if err := l.Observe(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", strings.TrimPrefix(dsn.Reveal(), "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
		INSERT INTO series (name, first_at, last_at, value) SELECT 'x' || i, 1, 1, 1 FROM n`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if err := l.Observe(t.Context(), known); err != nil {
		t.Errorf("a series on record: %v", err)
	}
	err = l.Observe(t.Context(), known, runner.Sample{Series: "one-more", Value: 1})
	if refused, ok := errors.AsType[*jobs.RefusedError](err); !ok || jobs.HintOf(err) == "" {
		t.Errorf("one more series: %v (%v)", err, refused)
	}
}
