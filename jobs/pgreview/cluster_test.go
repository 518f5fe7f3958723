package pgreview_test

import (
	"context"
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
)

// cluster is a server of a test's own.
type cluster struct {
	t   *testing.T
	dir string
	bin string
	url string
}

// newCluster starts a server with settings, NAME=VALUE.
func newCluster(t *testing.T, settings ...string) *cluster {
	t.Helper()
	c := prepareCluster(t)
	if out, err := c.as("initdb", "-D", c.dir+"/data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-k").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	c.start(settings...)
	return c
}

// prepareCluster makes a folder of its own for a server.
func prepareCluster(t *testing.T) *cluster {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatalf("no PostgreSQL server is installed: %v", err)
	}
	dir, err := os.MkdirTemp("/tmp", "review-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{t: t, dir: dir, bin: filepath.Dir(found[len(found)-1])}
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
	c.url = "postgres://postgres@/postgres?" + url.Values{"host": {dir}}.Encode()
	return c
}

// as runs one of the server's programs as a user whom it accepts.
func (c *cluster) as(program string, args ...string) *osexec.Cmd {
	line := append([]string{filepath.Join(c.bin, program)}, args...)
	if os.Geteuid() == 0 { // which PostgreSQL refuses
		line = append([]string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"}, line...)
	}
	// The context of the test ends before what it cleans up.
	cmd := osexec.CommandContext(context.Background(), line[0], line[1:]...)
	cmd.Dir = c.dir
	return cmd
}

// start starts the server until the test ends.
func (c *cluster) start(settings ...string) {
	c.t.Helper()
	args := []string{"-D", c.dir + "/data", "-k", c.dir, "-c", "listen_addresses=", "-c", "max_connections=60"}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	server := c.as("postgres", args...)
	var said strings.Builder
	server.Stderr = &said
	if err := server.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // it may have ended
		_ = server.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := pgx.Connect(c.t.Context(), c.url)
		if err == nil {
			if err := conn.Close(c.t.Context()); err != nil {
				c.t.Error(err)
			}
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the server does not answer: %v\n%.2000s", err, said.String())
		}
	}
}
