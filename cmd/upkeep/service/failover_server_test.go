package service_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
)

// server is a PostgreSQL server of a test's own, on a loopback address that
// nobody else uses.
type server struct {
	t       *testing.T
	dir     string
	address string // host:port
	bin     string
	log     *diary
	cmd     *exec.Cmd
	ended   chan struct{}
}

// startPrimary makes a server and starts it.
func startPrimary(t *testing.T) *server {
	t.Helper()
	s := newServer(t)
	s.must("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	s.start()
	return s
}

// startStandby makes a standby of a server, starts it, and has every commit wait
// for it from then on.
func startStandby(t *testing.T, primary *server) *server {
	t.Helper()
	s := newServer(t)
	s.must("pg_basebackup", "-D", s.data(), "-R", "-c", "fast", "-X", "stream", "-d", primary.url("postgres"))
	s.start()
	primary.exec("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	eventually(t, "commits wait for the standby", func() bool {
		var state string
		c := primary.connect()
		defer hangUp(c)
		err := c.QueryRow(t.Context(), "SELECT coalesce(max(sync_state), '') FROM pg_stat_replication").Scan(&state)
		return err == nil && state == "sync"
	})
	return s
}

func newServer(t *testing.T) *server {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		here, err := exec.LookPath("initdb")
		if err != nil {
			t.Fatal("no PostgreSQL server is installed: scripts/dev/deps.sh test")
		}
		found = []string{here}
	}
	// The path of a socket must be short.
	dir, err := os.MkdirTemp("/tmp", "upkeep-failover-") //nolint:usetesting // as above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		who, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, uidErr := strconv.Atoi(who.Uid)
		gid, gidErr := strconv.Atoi(who.Gid)
		if err := errors.Join(uidErr, gidErr, os.Chown(dir, uid, gid)); err != nil {
			t.Fatal(err)
		}
	}
	// Below the ports that the system gives to clients.
	address := fmt.Sprintf("127.%d.%d.%d:%d", 1+rand.IntN(250), rand.IntN(256), 1+rand.IntN(250), 20000+rand.IntN(10000))
	return &server{t: t, dir: dir, address: address, bin: filepath.Dir(slices.Max(found)), log: &diary{}}
}

func (s *server) data() string { return filepath.Join(s.dir, "data") }

func (s *server) url(database string) string {
	return "postgres://postgres@" + s.address + "/" + database + "?sslmode=disable"
}

// command is one of the server's programs, run by a user whom it accepts.
func (s *server) command(program string, args ...string) *exec.Cmd {
	line := append([]string{filepath.Join(s.bin, program)}, args...)
	if os.Geteuid() == 0 {
		line = append([]string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"}, line...)
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = s.dir
	return cmd
}

func (s *server) must(program string, args ...string) {
	s.t.Helper()
	if out, err := s.command(program, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v: %s", program, err, out)
	}
}

func (s *server) start() {
	s.t.Helper()
	host, port, _ := strings.Cut(s.address, ":")
	s.cmd = s.command("postgres", "-D", s.data(), "-k", s.dir, "-p", port, "-c", "listen_addresses="+host, "-c", "fsync=off")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // how it ends is the test's affair
	}()
	s.t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended
		<-s.ended
		if s.t.Failed() {
			s.t.Logf("log of %s:\n%s", s.address, s.log)
		}
	})
	hangUp(s.connect())
}

// connect waits for a server that just starts.
func (s *server) connect() *pgx.Conn {
	s.t.Helper()
	var conn *pgx.Conn
	eventually(s.t, "the server answers", func() (ok bool) {
		select {
		case <-s.ended:
			s.t.Fatalf("the server has ended:\n%s", s.log)
		default:
		}
		c, err := pgx.Connect(s.t.Context(), s.url("postgres"))
		conn = c
		return err == nil
	})
	return conn
}

func (s *server) exec(statements ...string) {
	s.t.Helper()
	c := s.connect()
	defer hangUp(c)
	for _, statement := range statements {
		if _, err := c.Exec(s.t.Context(), statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

func hangUp(c *pgx.Conn) { _ = c.Close(context.Background()) }

// kill ends all processes of the server where they are.
func (s *server) kill() {
	s.t.Helper()
	pid := s.cmd.Process.Pid
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, field := range append(strings.Fields(string(children)), strconv.Itoa(pid)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			s.t.Fatal(err)
		}
		_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.t.Fatal("a server that was killed does not end")
	}
}
