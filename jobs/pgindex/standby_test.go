package pgindex_test

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

// newStandby starts a standby of the test server and returns the folder of its
// socket.
func newStandby(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_basebackup")
	if err != nil || len(found) == 0 {
		t.Fatalf("no PostgreSQL server is installed: %v", err)
	}
	dir, err := os.MkdirTemp("/tmp", "index-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	as := func(program string, args ...string) *osexec.Cmd {
		line := append([]string{filepath.Join(filepath.Dir(found[len(found)-1]), program)}, args...)
		if os.Geteuid() == 0 { // which PostgreSQL refuses
			line = append([]string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"}, line...)
		}
		// The context of the test ends before what it cleans up.
		cmd := osexec.CommandContext(context.Background(), line[0], line[1:]...)
		cmd.Dir = dir
		return cmd
	}
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
	if out, err := as("pg_basebackup", "-D", dir+"/data", "-R", "-c", "fast", "-X", "stream", "-d", serverURL(t, "")).CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	server := as("postgres", "-D", dir+"/data", "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=300")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // it may have ended
		_ = server.Wait()
	})
	return dir
}

func TestStandby(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions)
	b.options.Indexes = wide()
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	u.Host, u.RawQuery = "", url.Values{"host": {newStandby(t)}}.Encode()
	b.url = u.String()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		c, err := pgx.Connect(t.Context(), b.url)
		if err == nil {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standby does not answer: %v", err)
		}
	}
	b.bad("is a standby, where nothing can be built", true)
	if strings.Contains(b.out.String(), "by_model") {
		t.Errorf("output:\n%s", b.out)
	}
}
