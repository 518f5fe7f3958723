package pgvacuum_test

import (
	"fmt"
	"net/url"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// cluster is a server of a test's own, reached by its unix socket alone.
type cluster struct {
	t   testing.TB
	dir string
	bin string
}

// newCluster makes the folder for a server, whose path must be short because
// of the socket.
func newCluster(t testing.TB) *cluster {
	t.Helper()
	client, err := pg.FindClient(t.Context(), os.Environ(), "", 1, "initdb", "postgres", "pg_basebackup")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "vacuum-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() == 0 {
		who, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		var uid, gid int
		if _, err := fmt.Sscan(who.Uid+" "+who.Gid, &uid, &gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	return &cluster{t: t, dir: dir, bin: client.Dir}
}

func (c *cluster) command(program string, args ...string) *osexec.Cmd {
	line := append([]string{filepath.Join(c.bin, program)}, args...)
	if os.Geteuid() == 0 { // which PostgreSQL refuses
		line = append([]string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"}, line...)
	}
	cmd := osexec.CommandContext(c.t.Context(), line[0], line[1:]...)
	cmd.Dir = c.dir
	return cmd
}

func (c *cluster) must(program string, args ...string) {
	c.t.Helper()
	if out, err := c.command(program, args...).CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v: %s", program, err, out)
	}
}

// start starts the server with settings and waits until it answers.
func (c *cluster) start(settings ...string) {
	c.t.Helper()
	args := []string{"-D", c.dir + "/data", "-k", c.dir, "-c", "listen_addresses=", "-c", "fsync=off"}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	server := c.command("postgres", args...)
	var said strings.Builder
	server.Stderr = &said
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGQUIT) }
	if err := server.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // it may have ended
		_ = server.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := pgx.Connect(c.t.Context(), c.url())
		if err == nil {
			if err := conn.Close(c.t.Context()); err != nil {
				c.t.Error(err)
			}
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the server does not answer: %v\n%s", err, said.String())
		}
	}
}

func (c *cluster) url() string {
	return "postgres://postgres@/postgres?sslmode=disable&host=" + url.QueryEscape(c.dir)
}

// TestServerOfItsOwn: what needs settings of the server, or would disturb other
// tests: prepared transactions, replication slots, standbys with feedback, and
// that a standby is refused.
func TestServerOfItsOwn(t *testing.T) {
	t.Parallel()
	primary := newCluster(t)
	primary.must("initdb", "-D", primary.dir+"/data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	primary.start("wal_level=logical", "max_prepared_transactions=5", "autovacuum_naptime=1s")
	c := connect(t, primary.url())
	load(t, c, append(bloated("orders", "5000"), "CREATE TABLE other (id int)")...)
	exec(t, c, "SELECT pg_create_logical_replication_slot('feed', 'test_decoding')")
	b := newBench(t)
	b.name, b.url = "postgres", primary.url()

	t.Run("prepared", func(t *testing.T) {
		exec(t, c, "BEGIN", "INSERT INTO other VALUES (1)", "PREPARE TRANSACTION 'forgotten'")
		load(t, c, "DELETE FROM orders")
		r := b.good()
		if f := finding(r, "not-removable:postgres"); !strings.Contains(f.Text, "because of prepared transaction forgotten of user postgres, for ") {
			t.Errorf("findings %+v", r.Findings)
		}
		exec(t, c, "ROLLBACK PREPARED 'forgotten'")
	})
	t.Run("autovacuum", func(t *testing.T) {
		load(t, c, "CREATE TABLE busy WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1) AS SELECT i AS id, repeat('x', 100) AS note FROM generate_series(1, 20000) i",
			"DELETE FROM busy WHERE id % 2 = 0")
		for deadline := time.Now().Add(2 * time.Minute); ask[int64](t, c, "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'busy'::regclass") == 0; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("autovacuum does not come")
			}
		}
		for _, skip := range []bool{true, false} {
			b.options.Tables, b.options.SkipLocked = []string{"busy"}, skip
			before := len(b.out.String())
			b.good()
			if out := b.out.String()[before:]; !strings.Contains(out, "busy: clean: autovacuum is at work on it") {
				t.Errorf("output:\n%s", out)
			}
		}
		if ask[int64](t, c, "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'busy'::regclass") == 0 {
			t.Error("autovacuum was disturbed")
		}
		b.options.Tables, b.options.SkipLocked = nil, true
		exec(t, c, "DROP TABLE busy") // ends autovacuum
	})
	t.Run("slot", func(t *testing.T) {
		b.good()
		if !strings.Contains(b.out.String(), "dead rows are held back by logical replication slot feed (not active), of the system catalogs") {
			t.Errorf("output:\n%s", b.out)
		}
	})

	standby := newCluster(t)
	standby.must("pg_basebackup", "-D", standby.dir+"/data", "-R", "-c", "fast", "-X", "stream", "-d", primary.url())
	standby.start("hot_standby_feedback=on", "wal_receiver_status_interval=1s", "max_prepared_transactions=5", "wal_level=logical")
	t.Run("standby", func(t *testing.T) {
		on := *b
		on.t, on.url = t, standby.url()
		_, err := on.run(t.Context())
		if !refused(err) || !strings.Contains(err.Error(), "is a standby") || jobs.HintOf(err) == "" {
			t.Errorf("%v", err)
		}
	})
	t.Run("feedback", func(t *testing.T) {
		reader := connect(t, standby.url())
		exec(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM orders")
		for deadline := time.Now().Add(time.Minute); ask[int64](t, c, "SELECT count(*) FROM pg_stat_replication WHERE backend_xmin IS NOT NULL") == 0; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the standby gives no feedback")
			}
		}
		load(t, c, "INSERT INTO orders SELECT i, '' FROM generate_series(1, 5000) i", "DELETE FROM orders")
		r := b.good()
		if f := finding(r, "not-removable:postgres"); !strings.Contains(f.Text, "because of standby walreceiver by hot_standby_feedback, for ") {
			t.Errorf("findings %+v\n%s", r.Findings, b.out)
		}
	})
}
