package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

const (
	// patience is how long something that must happen may take on a busy machine.
	patience = 2 * time.Minute
	// glance is how often the test looks at what another process does.
	glance = 20 * time.Millisecond
	// serverUser runs the database when the test is root, which PostgreSQL refuses.
	serverUser = "postgres"
	// theDatabase is the one that the nodes share.
	theDatabase = "upkeep"
)

// database is a PostgreSQL server on a machine of its own. The test talks to it
// by its socket, past all networks.
type database struct {
	machine *machine
	dir     string
	bin     string
	address string
	server  *exec.Cmd
	ended   chan struct{}
}

func newDatabase(t *testing.T, n *network) *database {
	t.Helper()
	sweep(t)
	// The path of a socket must be short.
	dir, err := os.MkdirTemp("/tmp", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid())) //nolint:usetesting // as above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	d := &database{machine: newMachine(t, "database", ownEverything), dir: dir, bin: postgresFolder(t)}
	d.address = n.connect(t, d.machine, toDatabase, 100)
	if who := serverAccount(t); who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	d.must(t, "initdb", "-D", d.data(), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	access, err := os.OpenFile(filepath.Join(d.data(), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(access, "host all all %s.0/24 trust\n", subnets()[toDatabase]); err != nil {
		t.Fatal(err)
	}
	if err := access.Close(); err != nil {
		t.Fatal(err)
	}
	d.start(t)
	d.query(t, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "CREATE DATABASE "+theDatabase)
		return err
	}, "postgres")
	return d
}

// folderPrefix begins the name of the server's folder; the number of the test's
// process follows.
const folderPrefix = "upkeep-cluster-"

// sweep removes the folders of tests that were killed, which nothing else
// outlives.
func sweep(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob("/tmp/" + folderPrefix + "*-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range left {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		if pid, err := strconv.Atoi(number); err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_ = os.RemoveAll(dir) // somebody else's test, in the same moment, or not ours to remove
		}
	}
}

func postgresFolder(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		return filepath.Dir(slices.Max(found))
	}
	here, err := exec.LookPath("initdb")
	if err != nil {
		t.Fatal("no PostgreSQL server is installed: scripts/dev/deps.sh test")
	}
	return filepath.Dir(here)
}

// serverAccount is whose processes the server's are; nil in a user namespace,
// which knows nobody but root: there they get a namespace in which they are not
// root.
func serverAccount(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		return nil
	}
	who, err := user.Lookup(serverUser)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (d *database) data() string { return filepath.Join(d.dir, "data") }

// url is how the nodes reach it.
func (d *database) url() string {
	return "postgres://postgres@" + d.address + "/" + theDatabase + "?sslmode=disable"
}

// command is one of the server's programs.
func (d *database) command(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	line := append([]string{filepath.Join(d.bin, program)}, args...)
	who := serverAccount(t)
	if who == nil {
		line = append([]string{"unshare", "--user", "--map-user=1000", "--map-group=1000", "--"}, line...)
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = d.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	return cmd
}

func (d *database) must(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := d.command(t, program, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := d.machine.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out.String())
	}
}

// start starts the server and waits until it answers. What is committed
// survives the end of its process, not that of this machine.
func (d *database) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	d.server = d.command(t, "postgres", "-D", d.data(), "-k", d.dir, "-c", "listen_addresses=*", "-c", "fsync=off", "-c", "max_connections=200")
	d.server.Stdout, d.server.Stderr = log, log
	if err := d.machine.start(d.server); err != nil {
		t.Fatal(err)
	}
	server, ended := d.server, make(chan struct{})
	d.ended = ended
	go func() {
		_ = server.Wait() // how it ends is the test's affair
		close(ended)
	}()
	d.query(t, func(context.Context, *pgx.Conn) error { return nil }, "postgres")
}

// stop ends the server: by SIGINT it says goodbye to its clients, by SIGQUIT it
// drops them, and recovers at the next start.
func (d *database) stop(t *testing.T, how unix.Signal) {
	t.Helper()
	if err := d.server.Process.Signal(how); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.ended:
	case <-time.After(patience):
		t.Fatal("the database does not end")
	}
}

// query calls do with a connection to a database, by default the nodes'. It
// waits for a server that just starts.
func (d *database) query(t *testing.T, do func(context.Context, *pgx.Conn) error, name ...string) {
	t.Helper()
	where := "postgres://postgres@/" + append(name, theDatabase)[0] + "?" + url.Values{"host": {d.dir}, "sslmode": {"disable"}}.Encode()
	ctx := context.WithoutCancel(t.Context()) // also used in cleanups
	for deadline := time.Now().Add(patience); ; time.Sleep(glance) {
		c, err := pgx.Connect(ctx, where)
		if err != nil {
			if time.Now().After(deadline) {
				t.Fatalf("the database does not answer: %v", err)
			}
			continue
		}
		err = do(ctx, c)
		_ = c.Close(ctx) // what was asked has been answered
		if err != nil {
			t.Fatal(err)
		}
		return
	}
}
