package pgbackup_test

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
)

// newStandby starts a standby of the test server and returns its address.
func newStandby(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "standby-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	as := func(program string, args ...string) *osexec.Cmd {
		line := append([]string{filepath.Join(realClient(t), program)}, args...)
		if os.Geteuid() == 0 { // which PostgreSQL refuses
			line = append([]string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"}, line...)
		}
		cmd := osexec.CommandContext(t.Context(), line[0], line[1:]...)
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
	address := serverURL(t, "")
	if out, err := as("pg_basebackup", "-D", dir+"/data", "-R", "-c", "fast", "-X", "stream", "-d", address).CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	server := as("postgres", "-D", dir+"/data", "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=300")
	var said strings.Builder
	server.Stderr = &said
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGQUIT) }
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // it may have ended
		_ = server.Wait()
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = ""
	q := u.Query()
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		c, err := pgx.Connect(t.Context(), u.String())
		if err == nil {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			return u.String()
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standby does not answer: %v\n%s", err, said.String())
		}
	}
}

func TestStandby(t *testing.T) {
	t.Parallel()
	name := newDatabase(t, "", awkward...)
	u, err := url.Parse(newStandby(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	for label, connections := range map[string]int{"custom": 1, "directory": 2} {
		t.Run(label, func(t *testing.T) {
			b := benchOn(t, name)
			b.url, b.options.Jobs = u.String(), connections
			r, err := b.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, d := b.one()
			if !d.Databases[0].Server.Standby || len(r.Findings) == 0 || r.Findings[0].ID != "standby:main" {
				t.Errorf("server %+v, findings %v", d.Databases[0].Server, r.Findings)
			}
			for _, table := range d.Databases[0].Tables {
				if table.Dumped == (table.Name == "quick") || table.Dumped != table.Exact {
					t.Errorf("%+v", table)
				}
			}
		})
	}
}
