package ledger_test

import (
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// oldRows are what an upkeep with the first schema left: a run that ended and
// one that died, with an attempt each.
const oldRows = `
INSERT INTO specs (digest, text) VALUES ('d', 'jobs: {}');
INSERT INTO runs (id, workflow, slot, host, trigger, spec, params, jobs, dry_run, requested_by, state, reason, message,
	owner, node, epoch, canceled_by, reopened_by, queued_at, started_at, finished_at) VALUES
	('0199aaaa-0000-7000-8000-000000000001', 'w', 1000000, '', 'schedule', 'd', '', '', 0, 'cron', 'succeeded', '', '', 'o', 'n', 1, '', '', 5, 6, 7),
	('0199aaaa-0000-7000-8000-000000000002', 'w', 2000000, '', 'schedule', 'd', '', '', 0, 'cron', 'running', '', '', 'o', 'n', 1, '', '', 5, 6, NULL);
INSERT INTO attempts (run, job, number, kind, workflow, dry_run, epoch, state, reason, error, hint, exit_code,
	started_at, finished_at, result, superseded, output_bytes, output_cut) VALUES
	('0199aaaa-0000-7000-8000-000000000001', 'x', 1, 'script', 'w', 0, 1, 'succeeded', '', '', '', 0, 6, 7, '{}', 0, 5, 0),
	('0199aaaa-0000-7000-8000-000000000002', 'x', 1, 'script', 'w', 0, 1, 'running', '', '', '', -1, 6, NULL, '{}', 0, 0, 0);
INSERT INTO outputs (run, job, number, codec, head, tail, cut) VALUES ('0199aaaa-0000-7000-8000-000000000001', 'x', 1, 'raw', {hello}, {}, 0);
`

func TestSQLite_Upgrade(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	path := strings.TrimPrefix(dsn.Reveal(), "sqlite:")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	upgrade(t, dsn, db, "sqlite", strings.NewReplacer("{hello}", "CAST('hello' AS BLOB)", "{}, 0)", "x'', 0)").Replace(oldRows))
}

func TestPostgres_Upgrade(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	db, err := sql.Open("pgx", with(t, dsn, func(_ *url.URL, query url.Values) { query.Set("search_path", "upkeep") }).Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE SCHEMA upkeep"); err != nil {
		t.Fatal(err)
	}
	upgrade(t, dsn, db, "postgres", strings.NewReplacer("{hello}", "'hello'", "{}, 0)", "'', 0)").Replace(oldRows))
}

// upgrade opens a ledger of the first schema and works with what it holds.
func upgrade(t *testing.T, dsn secret.String, db *sql.DB, dialect, rows string) {
	t.Helper()
	if err := ledger.MigrateTo(t.Context(), db, dialect, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(rows); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Exclusive, o.LeaseTTL = true, time.Hour })
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs, err := l.Runs(t.Context(), runner.Filter{Workflow: "w"})
	if err != nil || len(runs) != 2 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	for _, r := range runs {
		got := runner.Request{Overlap: r.Overlap, Approval: r.Approval, Alert: r.Alert, Slots: r.Slots, LastSlot: r.LastSlot}
		if diff := cmp.Diff(runner.Request{Overlap: runner.OverlapAllow, Slots: 1}, got); diff != "" || r.ApprovedBy != "" {
			t.Errorf("an old run is read as (-want +got):\n%s", diff)
		}
	}
	var bytes int
	if err := l.Database().QueryRow("SELECT SUM(bytes) FROM runs").Scan(&bytes); err != nil || bytes != 5 {
		t.Errorf("the old outputs take %d bytes, %v, want 5", bytes, err)
	}
	if ends, err := l.Successes(t.Context(), []string{"w"}); err != nil || !ends["w"].Equal(time.UnixMicro(7)) {
		t.Errorf("successes: %v, %v", ends, err)
	}
	c, _, err := l.Claim(t.Context(), runs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Advance(t.Context(), c, runner.Step{Finish: &runner.Finish{State: runner.Lost}}); err != nil {
		t.Error(err)
	}
	if _, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight())); err != nil {
		t.Error(err)
	}
}

// TestPostgres_Newer: where a newer upkeep came first, this one does not begin to
// work; what was at work goes on, and what only reads does.
func TestPostgres_Newer(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	l := ledgertest.Join(t, dsn, "old", time.Hour)
	for _, statement := range []string{
		"ALTER TABLE runs ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'",
		"ALTER TABLE nodes ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'",
		"INSERT INTO schema_versions (version_id, is_applied) VALUES (4711, TRUE)",
	} {
		if _, err := l.Writer().Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if newer, is := errors.AsType[*ledger.SchemaError](second(ledger.Open(t.Context(), ledger.Options{DSN: dsn}))); !is || newer.Have != 4711 {
		t.Errorf("Open: %v", newer)
	}
	if _, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight())); err != nil {
		t.Errorf("what was at work: %v", err)
	}
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	if runs, err := r.Runs(t.Context(), runner.Filter{Workflow: "w"}); err != nil || len(runs) != 1 {
		t.Errorf("%d runs, %v", len(runs), err)
	}
	if version, err := r.Schema(t.Context()); err != nil || version != 4711 {
		t.Errorf("schema %d, %v", version, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
