package sqlitebackup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/sqlitebackup"
	"github.com/ghosteam/upkeep/storage/object"
)

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	_, a := b.saved()
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		dir := t.TempDir()
		target := filepath.Join(dir, "r.db")
		if err := os.WriteFile(target+suffix, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := sqlitebackup.Restore(t.Context(), a, target)
		if _, ok := errors.AsType[*jobs.RefusedError](err); !ok || jobs.HintOf(err) == "" {
			t.Errorf("with %q there: %v, want a refusal with a hint", suffix, err)
		}
		if body, err := os.ReadFile(target + suffix); err != nil || string(body) != "precious" {
			t.Errorf("%q was changed: %q, %v", suffix, body, err)
		}
	}
	if err := sqlitebackup.Restore(t.Context(), a, filepath.Join(t.TempDir(), "no", "such", "dir")); err == nil {
		t.Error("restored into a directory that does not exist")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	dir := t.TempDir()
	if err := sqlitebackup.Restore(ctx, a, filepath.Join(dir, "r.db")); !errors.Is(err, stop) {
		t.Errorf("canceled: %v, want the cause", err)
	}
	if left := jobstest.Tree(t, dir); len(left) != 1 {
		t.Errorf("a canceled restore left %v", left)
	}
}

func TestIntegrityCheckSpeaks(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	db := connect(t, b.path, "")
	exec(t, db, "CREATE TABLE strictly (a)", "INSERT INTO strictly VALUES (NULL), (NULL)", "PRAGMA writable_schema = on",
		"UPDATE sqlite_schema SET sql = 'CREATE TABLE strictly (a NOT NULL)' WHERE name = 'strictly'", "PRAGMA writable_schema = reset")
	_, err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the database is corrupt: NULL value in strictly.a (and 1 more)") || !strings.Contains(jobs.HintOf(err), ".recover") {
		t.Errorf("error %v, hint %q", err, jobs.HintOf(err))
	}
}

func TestLossDoesNotEatGoodBackups(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	b.options.Keep.Last = 1
	run := func() *object.Artifact {
		r, a := b.saved()
		b.past = append([]jobs.Past{{Finished: time.Now(), Result: r}}, b.past...)
		return a
	}
	run()
	before := run()
	exec(t, connect(t, b.path, ""), "DELETE FROM orders WHERE id > 50")
	for i := range 4 {
		if a := run(); a.Manifest.Suspect == "" {
			t.Errorf("run %d after the loss is not suspect", i+1)
		}
	}
	found, err := object.Find(t.Context(), b.store, before.Manifest.ID)
	if err != nil {
		t.Fatalf("the last backup from before the loss is gone: %v", err)
	}
	if d, err := sqlitebackup.DetailsOf(found.Manifest); err != nil || d.Rows() < 2000 {
		t.Errorf("%d rows, %v", d.Rows(), err)
	}
}
