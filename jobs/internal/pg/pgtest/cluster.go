package pgtest

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/jobstest"
)

// serverUser runs servers when the test runs as root, which PostgreSQL refuses.
const serverUser = "postgres"

// Cluster is a server of a test's own, which is reached by its unix socket
// alone and ends with the test.
type Cluster struct {
	// URL is the superuser's address of its database postgres.
	URL string
	// Data is its data directory.
	Data string

	t   testing.TB
	dir string // of the socket, which holds Data
	bin string
}

// NewCluster starts a server with settings, each NAME=VALUE. It has checksums,
// trusts everybody and, unless a setting says otherwise, does not sync.
func NewCluster(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c := newCluster(t)
	c.URL = "postgres://postgres@/postgres?" + url.Values{"host": {c.dir}, "sslmode": {"disable"}}.Encode()
	c.must("initdb", "-D", c.Data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums")
	c.start(settings)
	return c
}

// NewStandby starts a standby of the server of an address. Its own address has
// the user, the password and the database of that one.
func NewStandby(t testing.TB, primary string, settings ...string) *Cluster {
	t.Helper()
	c := newCluster(t)
	u := parse(t, primary)
	u.Host = ""
	u.RawQuery = url.Values{"host": {c.dir}, "sslmode": {"disable"}}.Encode()
	c.URL = u.String()
	c.must("pg_basebackup", "-D", c.Data, "-R", "-c", "fast", "-X", "stream", "-d", primary)
	// A standby does not start with less of these than its primary has.
	least := Look[string](t, primary, `SELECT name || '=' || setting FROM pg_settings
		WHERE name IN ('max_connections', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction')`)
	c.start(append(least, settings...))
	return c
}

// newCluster makes the folder of a server. Its path is short, because the
// path of a socket must be.
func newCluster(t testing.TB) *Cluster {
	t.Helper()
	found, err := pg.FindClient(t.Context(), os.Environ(), "", 1, "initdb", "postgres", "pg_basebackup")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "upkeep-pg-") //nolint:usetesting // as above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	GiveToServer(t, dir)
	return &Cluster{Data: filepath.Join(dir, "data"), t: t, dir: dir, bin: found.Dir}
}

// GiveToServer lets the user of a server own a file, when that is another one
// than the test's.
func GiveToServer(t testing.TB, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	who, err := user.Lookup(serverUser)
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.Atoi(who.Uid)
	gid, gidErr := strconv.Atoi(who.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

// command is one of the server's programs, run by a user whom it accepts.
func (c *Cluster) command(program string, args ...string) *exec.Cmd {
	line := append([]string{filepath.Join(c.bin, program)}, args...)
	if os.Geteuid() == 0 {
		line = append([]string{"setpriv", "--reuid", serverUser, "--regid", serverUser, "--init-groups", "--"}, line...)
	}
	// The context of a test ends before what it cleans up.
	cmd := exec.CommandContext(context.WithoutCancel(c.t.Context()), line[0], line[1:]...)
	cmd.Dir = c.dir
	return cmd
}

func (c *Cluster) must(program string, args ...string) {
	c.t.Helper()
	if out, err := c.command(program, args...).CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v: %s", program, err, out)
	}
}

// start starts the server until the test ends, and waits until it answers.
func (c *Cluster) start(settings []string) {
	c.t.Helper()
	args := []string{"-D", c.Data, "-k", c.dir, "-c", "listen_addresses=", "-c", "fsync=off"}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	server := c.command("postgres", args...)
	var said jobstest.Buffer
	server.Stderr = &said
	if err := server.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = server.Wait() // how it ends is the test's affair
		close(ended)
	}()
	c.t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // it may have ended
		<-ended
	})
	within(c.t, func() string {
		select {
		case <-ended:
			said := said.String()
			c.t.Fatalf("the server ended at once:\n%s", said[max(0, len(said)-4000):])
		default:
		}
		conn, err := pgx.Connect(c.t.Context(), c.URL)
		if err != nil {
			return "the server does not answer: " + err.Error() + "\n" + said.String()
		}
		hangUp(conn)
		return ""
	})
}
