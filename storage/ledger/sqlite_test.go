package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

func sqliteDSN(path string) secret.String { return secret.New("sqlite:" + path) }

func TestSQLite_Files(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := filepath.Join(root, "a b", "100%20#é'", "up;keep&.db")
	l := ledgertest.Open(t, sqliteDSN(path), nil)
	if _, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight())); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{
		filepath.Dir(path): 0o700 | os.ModeDir, filepath.Join(root, "a b"): 0o700 | os.ModeDir, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600,
	} {
		info, err := os.Stat(name)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want mode %v", name, info, err, want)
		}
	}
	if got, want := l.LiveDir(), filepath.Join(filepath.Dir(path), "live"); got != want {
		t.Errorf("LiveDir = %s, want %s", got, want)
	}
	var checked string
	if err := l.Writer().QueryRow("PRAGMA trusted_schema").Scan(&checked); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "up;keep&.db") {
			t.Errorf("a file of another name appeared: %s", e.Name())
		}
	}
}

func TestSQLite_Durability(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, ledgertest.SQLite(t), nil)
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "application_id": "1970301808",
	} {
		var got string
		if err := l.Writer().QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("PRAGMA %s = %s, %v, want %s", pragma, got, err, want)
		}
	}
	if got := l.Writer().Stats().MaxOpenConnections; got != 1 {
		t.Errorf("the writer has up to %d connections, want 1", got)
	}
	if _, err := l.Database().Exec("DELETE FROM runs"); err == nil {
		t.Error("the reading handle could write")
	}
}

// TestSQLite_Commits counts what SQLite itself commits for a run of one job.
func TestSQLite_Commits(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, ledgertest.SQLite(t), func(o *ledger.Options) { o.Exclusive = true })
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	commits := 0
	if err := l.OnCommit(t.Context(), func() { commits++ }); err != nil {
		t.Fatal(err)
	}
	oneRun(t, l, ledgertest.Midnight())
	if commits == 0 || commits > 4 {
		t.Errorf("a run of one job took %d commits, want 4 or fewer", commits)
	}
	t.Logf("%d commits", commits)
}

// oneRun records a run of one job the way that an executor does.
func oneRun(t testing.TB, l *ledger.Ledger, slot time.Time) {
	t.Helper()
	answers, err := l.Submit(t.Context(), ledgertest.Request("w", slot))
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := l.Claim(t.Context(), answers[0].Run)
	if err != nil {
		t.Fatal(err)
	}
	a := ledgertest.Attempt("x", 1)
	if _, err := l.Advance(t.Context(), c, runner.Step{Begun: []runner.Start{{Attempt: a, Locks: []string{"l"}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Watch(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	end := runner.End{Attempt: ledgertest.Ended(a, runner.Succeeded), Output: runner.Output{Head: []byte("ok\n")}}
	end.Attempt.Result.Summary = "did it"
	if _, err := l.Advance(t.Context(), c, runner.Step{Ended: []runner.End{end}, Finish: &runner.Finish{State: runner.Succeeded}}); err != nil {
		t.Fatal(err)
	}
}

func TestSQLite_Lock(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	path := strings.TrimPrefix(dsn.Reveal(), "sqlite:")
	began := time.Now().Add(-time.Second)
	c := startChild(t, order{Role: "hold", DSN: dsn.Reveal()})
	pid, err := strconv.Atoi(c.line())
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, dsn := range []secret.String{dsn, sqliteDSN(link)} {
		_, err = ledger.Open(t.Context(), ledger.Options{DSN: dsn, Exclusive: true})
		var locked *ledger.LockedError
		if !errors.As(err, &locked) {
			t.Fatalf("a second holder: %v, want LockedError", err)
		}
		h := locked.Holder
		if h.PID != pid || h.Node != "holder" || h.Command != "upkeep serve" || h.Host == "" || h.Process == "" || h.Since.Before(began) || h.Since.After(time.Now()) {
			t.Errorf("the holder is named as %+v", h)
		}
		if text := err.Error(); !strings.Contains(text, fmt.Sprintf("in use by upkeep serve (pid %d on ", pid)) || jobs.HintOf(err) == "" {
			t.Errorf("refused with %q", text)
		}
	}
	// Others may still read and ask.
	asking := ledgertest.Open(t, dsn, nil)
	if _, err := asking.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight())); err != nil {
		t.Errorf("Submit beside the holder: %v", err)
	}
	// What stands in the file after a kill is of no importance.
	c.kill()
	if text, err := os.ReadFile(path + ".lock"); err != nil || !strings.Contains(string(text), strconv.Itoa(pid)) {
		t.Errorf("the lock file after the kill: %q, %v", text, err)
	}
	l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Exclusive = true })
	if err := l.Lock(t.Context()); err != nil {
		t.Errorf("Lock again: %v", err)
	}
	if err := asking.Lock(t.Context()); err == nil {
		t.Error("two ledgers of one process hold the lock")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := asking.Lock(t.Context()); err != nil {
		t.Errorf("Lock after the holder closed: %v", err)
	}
	if err := asking.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := asking.Heartbeat(t.Context()); err != nil {
		t.Errorf("Heartbeat: %v", err)
	}
	if err := os.Remove(path + ".lock"); err != nil {
		t.Fatal(err)
	}
	if err := asking.Heartbeat(t.Context()); !errors.Is(err, runner.ErrLeaseLost) {
		t.Errorf("Heartbeat without its lock file: %v, want ErrLeaseLost", err)
	}
}

// TestSQLite_LockMakesOthersDead: with the lock, nobody else can be alive.
func TestSQLite_LockMakesOthersDead(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	other := ledgertest.Join(t, dsn, "other", time.Hour)
	answers, err := other.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := other.Claim(t.Context(), answers[0].Run)
	if err != nil {
		t.Fatal(err)
	}
	l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Exclusive = true })
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if nodes, err := l.Nodes(t.Context()); err != nil || len(nodes) != 1 || nodes[0].Instance != l.Instance() {
		t.Errorf("nodes: %+v, %v, want the holder only", nodes, err)
	}
	if _, _, err := l.Claim(t.Context(), c.Run); err != nil {
		t.Errorf("Claim: %v", err)
	}
	if _, err := other.Advance(t.Context(), c, runner.Step{}); !errors.Is(err, runner.ErrStale) {
		t.Errorf("the other's write: %v, want ErrStale", err)
	}
}

func TestSQLite_ForeignFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	database := filepath.Join(folder, "app.db")
	db, err := sql.Open("sqlite", database)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE customers (id INTEGER); INSERT INTO customers VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(folder, "notes.txt")
	if err := os.WriteFile(text, bytes.Repeat([]byte("not a database. "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(folder, "short.txt")
	if err := os.WriteFile(short, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		database: "database of another program", text: "not an SQLite database", short: "not an SQLite database", folder: "not a regular file",
	} {
		before := fingerprint(t, path)
		if l, err := ledger.Open(t.Context(), ledger.Options{DSN: sqliteDSN(path)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open %s: %v, %v, want an error with %q", path, l, err, want)
		}
		if r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: sqliteDSN(path)}); err == nil {
			t.Errorf("OpenReader %s: %v, want an error", path, r)
		}
		if after := fingerprint(t, path); after != before {
			t.Errorf("%s was changed", path)
		}
	}
	var missing bool
	for _, path := range []string{filepath.Join(folder, "none.db"), filepath.Join(folder, "none", "none.db")} {
		_, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: sqliteDSN(path)})
		_, statErr := os.Stat(path)
		missing = errors.Is(err, ledger.ErrMissing) && errors.Is(statErr, os.ErrNotExist)
		if !missing {
			t.Errorf("OpenReader of nothing: %v, and then %v", err, statErr)
		}
	}
}

func fingerprint(t *testing.T, path string) string {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

func TestSQLite_Schema(t *testing.T) {
	t.Parallel()
	testNewerSchema(t, ledgertest.SQLite(t))
}

func testNewerSchema(t *testing.T, dsn secret.String) {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	err = l.Transact(t.Context(), func(exec func(string, ...any) error) error {
		return exec("INSERT INTO schema_versions (version_id, is_applied) VALUES (99, true)")
	})
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	_, writeErr := ledger.Open(t.Context(), ledger.Options{DSN: dsn, Exclusive: true})
	refused := map[string]error{"Open": writeErr}
	r, readErr := ledger.OpenReader(t.Context(), ledger.Options{DSN: dsn})
	switch {
	case strings.HasPrefix(dsn.Reveal(), "sqlite:"):
		refused["OpenReader"] = readErr
	case readErr != nil:
		t.Errorf("OpenReader of a newer ledger on a server, where migrations only add: %v", readErr)
	default:
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for what, err := range refused {
		var schema *ledger.SchemaError
		if !errors.As(err, &schema) || schema.Have != 99 || !strings.Contains(err.Error(), "newer upkeep") || jobs.HintOf(err) == "" {
			t.Errorf("%s of a newer ledger: %v", what, err)
		}
	}
}

func TestSQLite_Filesystems(t *testing.T) {
	t.Parallel()
	for magic, want := range map[int64]string{0xef53: "", 0x6969: "refused", 0xff534d42: "refused", -11317950: "refused", 0x65735546: "warned", 0x01021997: "warned"} {
		var log bytes.Buffer
		err := ledger.JudgeFolder("/somewhere", magic, ledger.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		got := ""
		switch {
		case err != nil:
			got = "refused"
			if !strings.Contains(err.Error(), "network file system") || jobs.HintOf(err) == "" {
				t.Errorf("magic %#x: %v", magic, err)
			}
		case log.Len() > 0:
			got = "warned"
		}
		if got != want {
			t.Errorf("magic %#x is %q, want %q", magic, got, want)
		}
	}
}
