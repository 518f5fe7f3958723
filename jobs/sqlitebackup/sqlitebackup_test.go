package sqlitebackup_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/sqlitebackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// connect opens a database for writing.
func connect(t testing.TB, path, parameters string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)+"?_pragma=busy_timeout(30000)"+parameters)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// makeDatabase makes a closed database with some of everything.
func makeDatabase(t testing.TB, path, journal string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	db := connect(t, path, "&_pragma=journal_mode("+journal+")")
	exec(t, db,
		`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE)`,
		`CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER REFERENCES users(id), note BLOB)`,
		`CREATE TABLE "odd ""name"" ü" (k TEXT PRIMARY KEY, v ANY) WITHOUT ROWID`,
		`CREATE VIRTUAL TABLE search USING fts5(body)`,
		`CREATE VIEW big AS SELECT * FROM orders WHERE id > 10`,
		`CREATE TRIGGER after_order AFTER INSERT ON orders BEGIN INSERT INTO search VALUES (new.note); END`,
		`CREATE INDEX by_user ON orders(user)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 50) INSERT INTO users SELECT i, 'user ' || i FROM n`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1000) INSERT INTO orders(user, note) SELECT 1 + i % 50, 'note ' || i FROM n`,
		`INSERT INTO "odd ""name"" ü" VALUES ('a', 1), ('b', x'00ff')`,
		`PRAGMA user_version = 42`, `PRAGMA application_id = 77`,
	)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// bench is a job with its surroundings.
type bench struct {
	t       *testing.T
	dir     string
	path    string
	store   object.Store
	options sqlitebackup.Options
	past    []jobs.Past
	dryRun  bool
	hooks   jobs.Hooks
}

func newBench(t *testing.T, journal string) *bench {
	b := &bench{t: t, dir: t.TempDir(), store: objecttest.NewMemory("s")}
	b.path = filepath.Join(b.dir, "data", "the app?.db")
	if journal != "" {
		makeDatabase(t, b.path, journal)
	}
	b.options = *sqlitebackup.Kind().Options().(*sqlitebackup.Options)
	b.options.Path, b.options.Store = unit.Path(b.path), unit.Names{"s"}
	return b
}

func (b *bench) run(ctx context.Context) (jobs.Result, error) {
	b.t.Helper()
	deps := jobstest.NewDeps(b.t)
	deps.AddStore("s", b.store)
	for _, p := range b.past {
		deps.AddPast("", "", p)
	}
	job, err := sqlitebackup.Kind().Build(&b.options, deps)
	if err != nil {
		b.t.Fatal(err)
	}
	work := b.t.TempDir()
	b.hooks.DryRun = b.dryRun
	r, err := job.Run(ctx, jobs.NewEnv(jobs.Env{RunID: "run", Workflow: "daily", Job: "db", Attempt: 1, Node: "n", Root: b.dir, WorkDir: work}, b.hooks))
	left, readErr := os.ReadDir(work)
	if readErr != nil || err == nil && len(left) > 0 {
		b.t.Errorf("left in the working directory: %v, %v", left, readErr)
	}
	return r, err
}

func (b *bench) saved() (jobs.Result, *object.Artifact) {
	b.t.Helper()
	r, err := b.run(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := object.Newest(b.t.Context(), b.store, "")
	if err != nil || a == nil {
		b.t.Fatalf("no artifact: %v", err)
	}
	return r, a
}

// dump reads all rows of all tables as text.
func dump(t *testing.T, path string) []string {
	t.Helper()
	db := connect(t, path, "")
	var out []string
	for _, query := range []string{
		`SELECT id || '|' || name FROM users`, `SELECT id || '|' || user || '|' || note FROM orders`,
		`SELECT k || '|' || hex(v) FROM "odd ""name"" ü"`, `SELECT body FROM search WHERE search MATCH 'note'`,
		`SELECT type || name || coalesce(sql, '') FROM sqlite_schema`, `SELECT name || seq FROM sqlite_sequence`,
		`PRAGMA user_version`, `PRAGMA application_id`, `PRAGMA journal_mode`,
	} {
		out = append(out, column(t, db, query)...)
	}
	slices.Sort(out)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// column returns the first column of a query as text.
func column(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() {
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}()
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	return out
}

func TestKind(t *testing.T) {
	t.Parallel()
	fixture := func(name string, arrange func(t *testing.T, path string, o *sqlitebackup.Options)) jobstest.Fixture {
		return jobstest.Fixture{Name: name, Effects: true, Arrange: func(t *testing.T, root string, options any, deps *jobstest.Deps) {
			o := options.(*sqlitebackup.Options)
			path := filepath.Join(root, "app.db")
			o.Path, o.Store = unit.Path(path), unit.Names{"s"}
			s, err := local.Open("s", local.Options{Path: unit.Path(filepath.Join(root, "store"))})
			if err != nil {
				t.Fatal(err)
			}
			deps.AddStore("s", s)
			makeDatabase(t, path, "wal")
			if arrange != nil {
				arrange(t, path, o)
			}
		}}
	}
	failing := func(f jobstest.Fixture, text string) jobstest.Fixture {
		f.Fails = text
		return f
	}
	plain := fixture("saves a database", nil)
	plain.Judge = func(t *testing.T, root string, r jobs.Result) {
		if !strings.Contains(r.Summary, " rows in ") || !strings.HasSuffix(r.Summary, "zstd in store s, verified L2") {
			t.Errorf("summary %q", r.Summary)
		}
		if r.Values["rows.orders"] != 1000 || r.Values["rows.users"] != 50 || r.Values["tables"] < 4 || r.Values["ratio"] < 2 || len(r.Artifacts) != 2 {
			t.Errorf("values %v, artifacts %v", r.Values, r.Artifacts)
		}
		for _, name := range []string{"app.db-wal", "app.db-shm"} {
			if _, err := os.Lstat(filepath.Join(root, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s was left beside the database: %v", name, err)
			}
		}
	}
	jobstest.Exercise(t, sqlitebackup.Kind(),
		plain,
		fixture("by vacuum, with retention", func(_ *testing.T, _ string, o *sqlitebackup.Options) {
			o.Method, o.Compression, o.Keep.Last = "vacuum", "gzip", 1
		}),
		failing(fixture("no such file", func(_ *testing.T, path string, o *sqlitebackup.Options) {
			o.Path = unit.Path(path + ".missing")
		}), "there is no such file"),
		failing(fixture("a text file", func(t *testing.T, path string, _ *sqlitebackup.Options) {
			if err := os.WriteFile(path, []byte(strings.Repeat("text ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}), "not an SQLite database"),
	)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"wal", "delete"} {
		for _, method := range []string{"backup", "vacuum"} {
			t.Run(journal+" "+method, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, journal)
				b.options.Method = method
				before := jobstest.Tree(t, b.dir)
				_, a := b.saved()
				after := jobstest.Tree(t, b.dir)
				before["data"], after["data"] = "", "" // SQLite's log comes and goes in it
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("the backup changed its source (-before +after):\n%s", diff)
				}
				target := filepath.Join(t.TempDir(), "restored.db")
				if err := sqlitebackup.Restore(t.Context(), a, target); err != nil {
					t.Fatal(err)
				}
				d, err := sqlitebackup.DetailsOf(a.Manifest)
				if err != nil {
					t.Fatal(err)
				}
				if d.UserVersion != 42 || d.ApplicationID != 77 || d.Encoding != "UTF-8" || d.Rows() < 2000 || d.SQLite == "" || a.Level() != object.L2 {
					t.Errorf("details %+v, level %s", d, a.Level())
				}
				want, got := dump(t, b.path), dump(t, target)
				if i := slices.Index(want, journal); i >= 0 && method == "vacuum" {
					want[i] = "delete" // VACUUM INTO always writes that
					slices.Sort(want)
				}
				if !slices.Contains(got, d.JournalMode) {
					t.Errorf("the manifest says journal mode %s", d.JournalMode)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("the restored database differs (-want +got):\n%s", diff)
				}
				info, err := os.Stat(target)
				if err != nil || info.Mode() != 0o600 {
					t.Errorf("the restored file is %v, %v", info, err)
				}
			})
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	truncate := func(b *bench, size int64) error { return os.Truncate(b.path, size) }
	for name, tt := range map[string]struct {
		arrange func(b *bench) error
		want    string
	}{
		"missing":         {func(b *bench) error { return os.Remove(b.path) }, "there is no such file"},
		"a directory":     {func(b *bench) error { return errors.Join(os.Remove(b.path), os.Mkdir(b.path, 0o700)) }, "not a regular file"},
		"a FIFO":          {func(b *bench) error { return errors.Join(os.Remove(b.path), syscall.Mkfifo(b.path, 0o600)) }, "not a regular file"},
		"empty":           {func(b *bench) error { return truncate(b, 0) }, "has no tables"},
		"a stub":          {func(b *bench) error { return truncate(b, 50) }, "not an SQLite database"},
		"cut":             {func(b *bench) error { return truncate(b, 20000) }, "database disk image is malformed"},
		"a text":          {func(b *bench) error { return os.WriteFile(b.path, []byte(strings.Repeat("x", 5000)), 0o600) }, "not an SQLite database"},
		"header only":     {func(b *bench) error { return truncate(b, 100) }, ""},
		"zeros inside":    {func(b *bench) error { return overwrite(b.path, 8192, make([]byte, 4096)) }, "malformed"},
		"noise inside":    {func(b *bench) error { return overwrite(b.path, 12288, []byte(strings.Repeat("noise", 500))) }, "malformed"},
		"another release": {func(b *bench) error { return overwrite(b.path, 0, []byte("SQLite format 4\x00")) }, "not an SQLite database"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "delete")
			memory := objecttest.NewMemory("s")
			b.store = memory
			if err := tt.arrange(b); err != nil {
				t.Fatal(err)
			}
			r, err := b.run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || jobs.HintOf(err) == "" {
				t.Errorf("%q, error %v, hint %q; want %q and a hint", r.Summary, err, jobs.HintOf(err), tt.want)
			}
			if len(memory.Keys()) != 0 {
				t.Errorf("the store holds %q", memory.Keys())
			}
			if name == "missing" {
				if _, err := os.Lstat(b.path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the missing database was made: %v", err)
				}
			}
		})
	}
}

func overwrite(path string, at int64, bytes []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(bytes, at)
	return errors.Join(err, f.Close())
}

func TestAllowEmpty(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	if err := os.Truncate(b.path, 0); err != nil {
		t.Fatal(err)
	}
	b.options.AllowEmpty = true
	r, a := b.saved()
	if r.Values["tables"] != 0 {
		t.Errorf("values %v", r.Values)
	}
	if err := sqlitebackup.Restore(t.Context(), a, filepath.Join(t.TempDir(), "r")); err != nil {
		t.Error(err)
	}
}

func TestLockedDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	b.options.Wait = unit.Duration(1e8)
	db := connect(t, b.path, "")
	exec(t, db, "BEGIN EXCLUSIVE")
	_, err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "locked") || !strings.Contains(jobs.HintOf(err), "raise wait") {
		t.Errorf("error %v, hint %q", err, jobs.HintOf(err))
	}
	exec(t, db, "ROLLBACK")
	b.saved()
}

func TestUnmergedLogIsSaved(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	db := connect(t, b.path, "&_pragma=wal_autocheckpoint(0)")
	exec(t, db, `INSERT INTO users VALUES (51, 'only in the log')`)
	r, a := b.saved()
	if r.Values["rows.users"] != 51 {
		t.Errorf("values %v", r.Values)
	}
	target := filepath.Join(t.TempDir(), "r.db")
	if err := sqlitebackup.Restore(t.Context(), a, target); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(dump(t, target), "51|only in the log") {
		t.Error("the row that was only in the log is lost")
	}
	// The program's log is still there, and still works.
	exec(t, db, `INSERT INTO users VALUES (52, 'later')`)
}

func TestForeignKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	db := connect(t, b.path, "")
	exec(t, db, `INSERT INTO orders(user, note) VALUES (999, 'orphan'), (998, 'orphan')`)
	r, a := b.saved()
	d, err := sqlitebackup.DetailsOf(a.Manifest)
	if err != nil || d.ForeignKeys != 2 || len(r.Findings) != 1 || r.Findings[0].ID != "foreign-keys" || !strings.Contains(r.Findings[0].Text, "2 rows") {
		t.Errorf("details %+v, findings %+v, %v", d.ForeignKeys, r.Findings, err)
	}
	exec(t, db, `CREATE TABLE bad (x REFERENCES users(no_such_column))`, `INSERT INTO bad VALUES (1)`)
	r, _ = b.saved()
	if len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Text, "cannot be checked") {
		t.Errorf("with a mismatched schema: %+v", r.Findings)
	}
}
