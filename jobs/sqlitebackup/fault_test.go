package sqlitebackup_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/sqlitebackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv("SQLITEBACKUP_TEST_WRITE") != "":
		writeForEver(os.Getenv("SQLITEBACKUP_TEST_WRITE"))
	case os.Getenv("SQLITEBACKUP_TEST_DIE") != "":
		saveAndDie(os.Getenv("SQLITEBACKUP_TEST_DIE"), os.Getenv("SQLITEBACKUP_TEST_AT"))
	default:
		os.Exit(m.Run())
	}
}

// writeForEver is the other process of TestConcurrentWriter: it moves money
// between two accounts and writes each move down, in one transaction.
func writeForEver(path string) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(30000)&_pragma=synchronous(normal)")
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(1)
	for i := 0; ; i++ {
		tx, err := db.BeginTx(context.Background(), nil)
		if err != nil {
			panic(err)
		}
		for _, s := range []string{
			"UPDATE account SET balance = balance - 1 WHERE id = 1",
			"INSERT INTO move(text) VALUES ('" + strings.Repeat("x", 500+i%1000) + "')",
			"UPDATE account SET balance = balance + 1 WHERE id = 2",
		} {
			if _, err := tx.ExecContext(context.Background(), s); err != nil {
				panic(err)
			}
		}
		if err := tx.Commit(); err != nil {
			panic(err)
		}
		if i == 0 {
			fmt.Println("writing")
		}
	}
}

func TestConcurrentWriter(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"wal", "delete"} {
		for _, method := range []string{"backup", "vacuum"} {
			t.Run(journal+" "+method, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, "")
				b.path = filepath.Join(b.dir, "bank.db")
				b.options.Path, b.options.Method = unit.Path(b.path), method
				db := connect(t, b.path, "&_pragma=journal_mode("+journal+")")
				exec(t, db, "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)", "CREATE TABLE move (id INTEGER PRIMARY KEY, text TEXT)",
					"INSERT INTO account VALUES (1, 0), (2, 0)",
					"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000) INSERT INTO move(text) SELECT hex(randomblob(1000)) FROM n",
					"UPDATE account SET balance = CASE id WHEN 1 THEN -3000 ELSE 3000 END")
				cmd := osexec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), "SQLITEBACKUP_TEST_WRITE="+b.path)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() {
					_ = cmd.Process.Kill() // it writes for ever
					_ = cmd.Wait()
				}()
				if _, err := out.Read(make([]byte, 7)); err != nil {
					t.Fatalf("the writer did not begin: %v", err)
				}
				last := int64(0)
				moved := 0
				for range 4 {
					_, a := b.saved()
					moves := checkBank(t, a)
					if moves > last {
						moved++
					}
					last = moves
				}
				if moved < 2 {
					t.Errorf("only %d of 4 backups met new writes, so nothing was tested", moved)
				}
			})
		}
	}
}

// checkBank restores a backup, checks that no transaction is cut in it, and
// returns how many there were.
func checkBank(t *testing.T, a *object.Artifact) int64 {
	t.Helper()
	target := filepath.Join(t.TempDir(), "r.db")
	if err := sqlitebackup.Restore(t.Context(), a, target); err != nil {
		t.Fatal(err)
	}
	db := connect(t, target, "")
	var sum, credit, moves int64
	if err := db.QueryRowContext(t.Context(), "SELECT sum(balance), max(balance), (SELECT count(*) FROM move) FROM account").Scan(&sum, &credit, &moves); err != nil {
		t.Fatal(err)
	}
	if sum != 0 || credit != moves {
		t.Errorf("the copy is not consistent: sum %d, credit %d after %d moves", sum, credit, moves)
	}
	return moves
}

func TestStoreFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, fault := range map[string]objecttest.Fault{
		"disk full":              {Method: objecttest.Put, Key: "database", Err: syscall.ENOSPC, After: 50},
		"store keeps nothing":    {Method: objecttest.Put, Key: "database", Lose: true},
		"reads back nothing":     {Method: objecttest.Get, Key: "database", Body: func([]byte) []byte { return nil }},
		"reads back half":        {Method: objecttest.Get, Key: "database", Body: func(b []byte) []byte { return b[:len(b)/2] }},
		"cannot be read back":    {Method: objecttest.Get, Key: "database", Err: broken},
		"breaks while read back": {Method: objecttest.Get, Key: "database", Err: broken, After: 100},
		"refuses the manifest":   {Method: objecttest.Put, Key: "manifest", Err: broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "wal")
			memory := objecttest.NewMemory("s")
			b.store = objecttest.NewFaulty(t, memory, fault)
			r, err := b.run(t.Context())
			if err == nil || fault.Err != nil && !errors.Is(err, fault.Err) || len(r.Artifacts) != 0 || !strings.Contains(r.Summary, "no store") {
				t.Errorf("%+v, %v", r, err)
			}
			if keys := memory.Keys(); len(keys) != 0 {
				t.Errorf("the store holds %q", keys)
			}
			b.saved()
		})
	}
}

func TestStaleStore(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	memory := objecttest.NewMemory("s")
	b.store = memory
	_, old := b.saved()
	var stale []byte
	memory.Change(old.Dir()+"/database.sqlite.zst", func(b []byte) []byte { stale = b; return b })
	exec(t, connect(t, b.path, ""), "INSERT INTO users VALUES (51, 'new')")
	b.store = objecttest.NewFaulty(t, memory, objecttest.Fault{Method: objecttest.Get, Key: "database", Forever: true, Body: func([]byte) []byte { return stale }})
	if _, err := b.run(t.Context()); !errors.Is(err, object.ErrDamaged) {
		t.Errorf("error %v, want ErrDamaged", err)
	}
	if keys := memory.Keys(); len(keys) != 2 {
		t.Errorf("the store holds %q", keys)
	}
}

func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"zstd", "none"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "delete")
			b.options.Compression = compression
			memory := objecttest.NewMemory("s")
			b.store = memory
			_, a := b.saved()
			verify := func() error {
				a, err := object.Load(t.Context(), memory, a.Info.Key)
				if err != nil {
					return err
				}
				return sqlitebackup.Verify(t.Context(), a, b.dir)
			}
			if err := verify(); err != nil {
				t.Fatalf("undamaged: %v", err)
			}
			before := len(jobstest.Tree(t, b.dir))
			for _, key := range memory.Keys() {
				var whole []byte
				memory.Change(key, func(body []byte) []byte { whole = slices.Clone(body); return body })
				for i := 0; i < len(whole); i += max(1, len(whole)/70) {
					for how, bad := range map[string][]byte{
						"flipped": append(append(slices.Clone(whole[:i]), whole[i]^0x04), whole[i+1:]...),
						"cut":     whole[:i],
					} {
						memory.Change(key, func([]byte) []byte { return bad })
						if err := verify(); !errors.Is(err, object.ErrDamaged) {
							t.Errorf("%s %s at %d: %v, want ErrDamaged", key, how, i, err)
						}
						if i%5 == 0 {
							target := filepath.Join(b.dir, "never.db")
							if loaded, err := object.Load(t.Context(), memory, a.Info.Key); err == nil {
								if err := sqlitebackup.Restore(t.Context(), loaded, target); err == nil {
									t.Errorf("%s %s at %d was restored", key, how, i)
								}
							}
						}
					}
				}
				memory.Change(key, func([]byte) []byte { return whole })
			}
			if after := len(jobstest.Tree(t, b.dir)); after != before {
				t.Errorf("proofs and failed restores left %d files", after-before)
			}
		})
	}
}

func TestWrongManifests(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	_, a := b.saved()
	for name, change := range map[string][2]string{
		"a row more":     {`"name": "users",`, `"name": "users2",`},
		"another schema": {`"schema_sha256": "`, `"schema_sha256": "0`},
		"a page less":    {`"pages": `, `"pages": 1`},
		"version":        {`"user_version": 42`, `"user_version": 43`},
		"rows":           {`"rows": 1000`, `"rows": 1001`},
	} {
		forged := *a
		forged.Manifest.Details = []byte(strings.Replace(string(a.Manifest.Details), change[0], change[1], 1))
		if string(forged.Manifest.Details) == string(a.Manifest.Details) {
			// As compact JSON.
			forged.Manifest.Details = []byte(strings.Replace(string(a.Manifest.Details), strings.ReplaceAll(change[0], ": ", ":"), strings.ReplaceAll(change[1], ": ", ":"), 1))
		}
		if string(forged.Manifest.Details) == string(a.Manifest.Details) {
			t.Fatalf("%s: nothing was forged in %s", name, a.Manifest.Details)
		}
		if err := sqlitebackup.Verify(t.Context(), &forged, t.TempDir()); !errors.Is(err, object.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
	other := *a
	other.Manifest.Kind = "archive"
	if err := sqlitebackup.Verify(t.Context(), &other, t.TempDir()); err == nil {
		t.Error("an artifact of another kind was verified")
	}
}

func TestFullWorkingDirectory(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 1<<20, func(disk string) {
		b := newBench(t, "wal")
		db := connect(t, b.path, "")
		exec(t, db, "CREATE TABLE noise (x)", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000) INSERT INTO noise SELECT randomblob(1000) FROM n")
		deps := jobstest.NewDeps(t)
		memory := objecttest.NewMemory("s")
		deps.AddStore("s", memory)
		job, err := sqlitebackup.Kind().Build(&b.options, deps)
		if err != nil {
			t.Fatal(err)
		}
		_, err = job.Run(t.Context(), jobs.NewEnv(jobs.Env{Workflow: "daily", Job: "db", WorkDir: disk}, jobs.Hooks{}))
		if err == nil || !strings.Contains(err.Error(), "free, but the copy needs") || jobs.HintOf(err) == "" || len(memory.Keys()) != 0 {
			t.Errorf("error %v, hint %q, store %q", err, jobs.HintOf(err), memory.Keys())
		}
	})
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"backup", "vacuum"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "wal")
			b.options.Method = method
			stop := errors.New("stop")
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(stop)
			if _, err := b.run(ctx); !errors.Is(err, stop) {
				t.Errorf("before: %v, want the cause", err)
			}
			ctx, cancel = context.WithCancelCause(t.Context())
			defer cancel(nil)
			b.hooks.Progress = func(int64, int64, string) { cancel(stop) }
			b.hooks.Effect = func(string) { cancel(stop) }
			if _, err := b.run(ctx); !errors.Is(err, stop) {
				t.Errorf("in the middle: %v, want the cause", err)
			}
			b.hooks = jobs.Hooks{}
			b.saved()
		})
	}
}

func BenchmarkBackup(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "big.db")
	db := connect(b, path, "&_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	exec(b, db, "CREATE TABLE event (id INTEGER PRIMARY KEY, at TEXT, body TEXT)")
	noise := rand.Text()
	for range 20 {
		exec(b, db, fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO event(at, body) SELECT datetime(i, 'unixepoch'), 'request ' || i || ' %s ' || hex(randomblob(100)) FROM n", noise))
	}
	for _, method := range []string{"backup", "vacuum"} {
		b.Run(method, func(b *testing.B) {
			for b.Loop() {
				o := sqlitebackup.Kind().Options().(*sqlitebackup.Options)
				o.Path, o.Store, o.Method = unit.Path(path), unit.Names{"s"}, method
				deps := jobstest.NewDeps(&testing.T{})
				deps.AddStore("s", objecttest.NewMemory("s"))
				job, err := sqlitebackup.Kind().Build(o, deps)
				if err != nil {
					b.Fatal(err)
				}
				r, err := job.Run(b.Context(), jobs.NewEnv(jobs.Env{Workflow: "daily", Job: "db", WorkDir: b.TempDir()}, jobs.Hooks{}))
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(r.Values["bytes"]))
			}
		})
	}
}
