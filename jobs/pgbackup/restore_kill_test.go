package pgbackup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
)

// restorerVariable tells a process of the test binary to restore; it is killed
// on the way.
const restorerVariable = "PGBACKUP_RESTORER"

// TestRestoreVictim is the process that is killed; among other tests it does
// nothing.
func TestRestoreVictim(t *testing.T) {
	text := os.Getenv(restorerVariable)
	if text == "" {
		return
	}
	var v struct {
		Store, ID, URL, Work string
		Replace, Create      bool
		Jobs                 int
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	disk, err := local.Open("s", local.Options{Path: unit.Path(v.Store)})
	if err != nil {
		t.Fatal(err)
	}
	a, err := object.Find(t.Context(), disk, v.ID)
	if err != nil {
		t.Fatal(err)
	}
	env := jobs.NewEnv(jobs.Env{RunID: "killed", Workflow: "daily", Job: "backup", Attempt: 1, WorkDir: v.Work}, jobs.Hooks{})
	r, err := pgbackup.Kind().Artifacts.(jobs.Restorer).Restore(context.Background(), env, a, jobs.Target{
		To: "shop", Replace: v.Replace, Create: v.Create, Jobs: v.Jobs,
		Database: func(string) (jobs.Database, error) {
			return jobs.Database{Name: "shop", Kind: jobs.Postgres, URL: secret.New(v.URL)}, nil
		},
	})
	t.Fatal("not killed:", r, err)
}

// newVictim starts that process.
func newVictim(t testing.TB, what map[string]any) (cmd *osexec.Cmd, said *bytes.Buffer) {
	t.Helper()
	text, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	cmd = osexec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRestoreVictim$")
	cmd.Env = append(os.Environ(), restorerVariable+"="+string(text))
	said = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, said
	return cmd, said
}

// trap is a network to the test server that does something when a client sends
// a text for the first time.
type trap struct {
	listener net.Listener
	target   string
	text     []byte
	// late hands the text on before, and waits for an answer that never arrives.
	late  bool
	mute  atomic.Bool
	do    func()
	fired atomic.Bool
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

func newTrap(t testing.TB, text string, late bool, do func(tr *trap)) *trap {
	t.Helper()
	u, err := url.Parse(serverURL(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &trap{listener: l, target: u.Host, text: []byte(text), late: late}
	tr.do = func() { do(tr) }
	tr.wg.Go(tr.serve)
	t.Cleanup(func() {
		_ = l.Close()
		tr.cut()
		tr.wg.Wait()
	})
	return tr
}

// url is the address of a database through the trap.
func (tr *trap) url(t testing.TB, name string) string {
	u, err := url.Parse(serverURL(t, name))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = tr.listener.Addr().String()
	return u.String()
}

func (tr *trap) serve() {
	for {
		client, err := tr.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", tr.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		tr.mu.Lock()
		tr.conns = append(tr.conns, client, server)
		tr.mu.Unlock()
		answered := make(chan struct{}, 1)
		tr.wg.Go(func() { tr.watch(client, server, answered) })
		tr.wg.Go(func() { tr.answer(client, server, answered) })
	}
}

// cut ends all connections.
func (tr *trap) cut() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, c := range tr.conns {
		_ = c.Close()
	}
	tr.conns = nil
}

// answer hands on what the server says.
func (tr *trap) answer(client, server net.Conn, answered chan<- struct{}) {
	defer client.Close() //nolint:errcheck // a cut is meant
	defer server.Close() //nolint:errcheck // a cut is meant
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if n > 0 && tr.mute.Load() {
			select {
			case answered <- struct{}{}:
			default:
			}
		} else if n > 0 {
			_, err = client.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// watch hands on what a client sends.
func (tr *trap) watch(client, server net.Conn, answered <-chan struct{}) {
	defer client.Close() //nolint:errcheck // a cut is meant
	defer server.Close() //nolint:errcheck // a cut is meant
	buf := make([]byte, 64<<10)
	var seen []byte
	for {
		n, err := client.Read(buf)
		if n > 0 {
			seen = append(seen, buf[:n]...)
			if bytes.Contains(seen, tr.text) && tr.fired.CompareAndSwap(false, true) {
				if tr.late {
					tr.mute.Store(true)
					_, _ = server.Write(buf[:n])
					<-answered
				}
				tr.do()
				tr.mute.Store(false)
				return
			} else if _, err := server.Write(buf[:n]); err != nil {
				return
			}
			seen = seen[max(0, len(seen)-len(tr.text)):]
		}
		if err != nil {
			return
		}
	}
}

// The moments of a restore with --replace, by what is sent to the server then.
func moments(target string) map[string]string {
	return map[string]string{
		"making the new database": "CREATE DATABASE",
		"marking it":              "COMMENT ON DATABASE \"" + target + "_upkeep_new",
		"loading":                 "COPY public.",
		"counting":                "count(*) FROM ONLY",
		"analyzing":               "ANALYZE",
		"dressing":                "CONNECTION LIMIT 9",
		"the first rename":        "RENAME TO \"" + target + "_upkeep_old",
		"between the renames":     "RENAME TO \"" + target + "\"",
		"before the commit":       "commit",
		"late: the commit":        "commit",
		"late: making it":         "CREATE DATABASE",
		"parallel: loading":       "COPY public.",
	}
}

// Wherever upkeep is killed, the target is what it was or the new one, and the
// next call leaves nothing but the target and what was put aside.
func TestReplaceKilled(t *testing.T) {
	t.Parallel()
	_, a, store := stored(t)
	for moment := range moments("") {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			target := oldDatabase(t)
			exec(t, connect(t, serverURL(t, "")), "ALTER DATABASE "+target+" CONNECTION LIMIT 9")
			var victim atomic.Pointer[os.Process]
			tr := newTrap(t, moments(target)[moment], strings.HasPrefix(moment, "late"), func(*trap) {
				if p := victim.Load(); p != nil {
					_ = p.Kill()
				}
			})
			cmd, said := newVictim(t, map[string]any{
				"Store": store, "ID": a.Manifest.ID, "URL": tr.url(t, target), "Work": t.TempDir(), "Replace": true, "Jobs": 2 * strings.Count(moment, "parallel"),
			})
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			victim.Store(cmd.Process)
			_ = cmd.Wait() // how it ended is judged below
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL || !tr.fired.Load() {
				t.Fatalf("it was not killed: %s", said)
			}
			swapped := moment == "late: the commit"
			if got := one(t, target, "SELECT count(*) FROM pg_class WHERE relname = 'precious'"); (got == "0") != swapped {
				t.Errorf("the target has %s tables of the old one", got)
			}
			r, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true}})
			if err != nil || len(r.Findings) > 0 {
				t.Errorf("the next restore: %+v, %v", r, err)
			}
			want := 2
			if swapped {
				want = 3
			}
			all := named(t, target)
			if len(all) != want || one(t, target, "SELECT count(*) FROM a") != "2000" || slices.ContainsFunc(all, func(name string) bool { return strings.Contains(name, "_new_") }) {
				t.Errorf("databases %q", all)
			}
		})
	}
}

// A plain restore does not leave anything either; one by several connections
// says what it left.
func TestRestoreKilled(t *testing.T) {
	t.Parallel()
	_, a, store := stored(t)
	for label, tt := range map[string]struct {
		at     string
		number int
	}{"one transaction": {"COPY public.b", 0}, "parallel": {"COPY public.b", 2}, "parallel, before anything": {"CREATE TABLE", 2}} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			target := newDatabase(t, "")
			exec(t, connect(t, serverURL(t, "")), "COMMENT ON DATABASE "+target+" IS 'theirs'")
			var victim atomic.Pointer[os.Process]
			tr := newTrap(t, tt.at, false, func(*trap) {
				if p := victim.Load(); p != nil {
					_ = p.Kill()
				}
			})
			cmd, said := newVictim(t, map[string]any{"Store": store, "ID": a.Manifest.ID, "URL": tr.url(t, target), "Work": t.TempDir(), "Jobs": tt.number})
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			victim.Store(cmd.Process)
			if err := cmd.Wait(); err == nil || !tr.fired.Load() {
				t.Fatalf("it was not killed: %s", said)
			}
			_, err := restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Jobs: tt.number}})
			if label == "parallel" {
				if !refused(err) || !strings.Contains(err.Error(), "left partial by a restore of") {
					t.Errorf("%v", err)
				}
				if _, err = restoreWith(t.Context(), t, a, restoring{database: target, target: jobs.Target{Replace: true}}); err != nil {
					t.Error(err)
				}
				dropsAll(t, target+"_")
			}
			if err != nil && label != "parallel" {
				t.Error(err)
			}
			if got := one(t, target, "SELECT shobj_description(oid, 'pg_database') || (SELECT count(*) FROM b) FROM pg_database WHERE datname = current_database()"); got != "theirs2000" {
				t.Errorf("the target says %s", got)
			}
		})
	}
}

// stored is a backup in a store that other processes can read.
func stored(t testing.TB) (*bench, *object.Artifact, string) {
	t.Helper()
	b := newBench(t, `CREATE TABLE a (id int PRIMARY KEY, v text)`, `INSERT INTO a SELECT i, repeat('x', i % 90) FROM generate_series(1, 2000) i`,
		`CREATE TABLE b (a_id int REFERENCES a)`, `INSERT INTO b SELECT id FROM a`)
	path := filepath.Join(t.TempDir(), "store")
	disk, err := local.Open("s", local.Options{Path: unit.Path(path)})
	if err != nil {
		t.Fatal(err)
	}
	b.store = disk
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	return b, a, path
}

// A network that is cut, and sessions that are killed, at every moment: nothing
// is left, even without a next call.
func TestReplaceCut(t *testing.T) {
	t.Parallel()
	_, a := sold(t)
	for how, at := range map[string][]string{
		"cut":  {"loading", "counting", "between the renames", "before the commit", "late: the commit", "parallel: loading", "late: making it"},
		"kill": {"loading", "analyzing", "between the renames"},
	} {
		for _, moment := range at {
			t.Run(how+" "+moment, func(t *testing.T) {
				t.Parallel()
				target := oldDatabase(t)
				exec(t, connect(t, serverURL(t, "")), "ALTER DATABASE "+target+" CONNECTION LIMIT 9")
				admin := connect(t, serverURL(t, ""))
				tr := newTrap(t, moments(target)[moment], strings.HasPrefix(moment, "late"), func(tr *trap) {
					if how == "cut" {
						tr.cut()
						return
					}
					_, err := admin.Exec(context.Background(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE $1 OR query LIKE $2 AND pid <> pg_backend_pid()",
						target+"_upkeep_new%", "%"+target+"%")
					if err != nil {
						t.Error(err)
					}
				})
				r, err := restoreWith(t.Context(), t, a, restoring{
					url: tr.url(t, target), target: jobs.Target{Replace: true, Jobs: 2 * strings.Count(moment, "parallel")},
				})
				if !tr.fired.Load() {
					t.Fatalf("the network was not cut: %+v, %v", r, err)
				}
				swapped := err == nil
				if !swapped && moment == "late: the commit" || swapped && !strings.HasPrefix(moment, "late") {
					t.Errorf("%+v, %v", r, err)
				}
				if got := one(t, target, "SELECT count(*) FROM pg_class WHERE relname = 'precious'"); (got == "0") != swapped {
					t.Errorf("%v, but the target has %s tables of the old one", err, got)
				}
				if all := named(t, target); len(all) != 1+strings.Count(fmt.Sprint(swapped), "true") {
					t.Errorf("databases %q after %v", all, err)
				}
			})
		}
	}
}
