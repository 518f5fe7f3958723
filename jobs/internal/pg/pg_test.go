package pg_test

import (
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func server(t testing.TB) *url.URL {
	t.Helper()
	text := os.Getenv("UPKEEP_TEST_POSTGRES_URL")
	if text == "" {
		t.Fatal("UPKEEP_TEST_POSTGRES_URL is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh")
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal("UPKEEP_TEST_POSTGRES_URL is not a URL")
	}
	return u
}

func parse(t testing.TB, text string) pg.Address {
	t.Helper()
	a, err := pg.ParseAddress(secret.New(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"postgres://u:p@h:5433/d?sslmode=require":           "h:5433/d",
		"postgresql+asyncpg://u:p%40ss@h/d%20b":             "h/d b",
		"postgres://h1:1,h2:2/d":                            "h1:1,h2:2/d",
		"postgres://[::1]:5432/d":                           "::1:5432/d",
		"postgres:///d?host=/run/pg&schema=public":          "/run/pg/d",
		"postgres://%2Frun%2Fpg/d":                          "/run/pg/d",
		`host=h port=1 user='a b' password='x\'y' dbname=d`: "h:1/d",
		"dbname=d": "the default host/d",
		"":         "the default host",
	} {
		if got := parse(t, text).Where(); got != want {
			t.Errorf("%q is at %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{
		"mysql://u:hunter2@h/d", "postgres://u:hunter2%zz@h/d", "postgres://u:hunter2@h:port/d", "hunter2", "password=hunter2 x",
		"host='h password=hunter2", "host=a,b,c port=1,2 password=hunter2", "postgres://u:hunter2@h/d?sslpassword=x", "http://hunter2",
	} {
		_, err := pg.ParseAddress(secret.New(text))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("postgres://u:p@h:1/d?sslmode=require")
	f.Add("host=h user='a b' password='x\\'y'")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := pg.ParseAddress(secret.New(text))
		if err == nil {
			_ = a.Where()
		} else if len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats the address: %v", err)
		}
	})
}

func TestConnect(t *testing.T) {
	t.Parallel()
	u := server(t)
	c, err := pg.Connect(t.Context(), parse(t, u.String()), "upkeep test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Hangup(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if c.Server.Major < 10 || c.Server.Number/10000 != c.Server.Major || !c.Server.Superuser || c.Server.Standby || c.Server.Database != "postgres" || c.Server.Name() != u.Host {
		t.Errorf("server %+v", c.Server)
	}
	if pooled, err := c.Pooled(t.Context()); pooled || err != nil {
		t.Errorf("pooled %v, %v", pooled, err)
	}
	dir := t.TempDir()
	env, remove, err := c.ClientEnviron([]string{"PATH=/bin", "PGPASSWORD=of somebody", "PGHOST=elsewhere", "LC_ALL=de_DE"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	text := strings.Join(env, "\n")
	for _, want := range []string{"PGHOST=127.0.0.1", "PGPORT=" + u.Port(), "PGUSER=postgres", "PGDATABASE=postgres", "PGSSLMODE=disable", "PATH=/bin", "PGHOSTADDR=127.0.0.1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	for _, bad := range []string{password, "somebody", "elsewhere", "de_DE"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q stands in\n%s", bad, text)
		}
	}
	files, err := filepath.Glob(dir + "/*")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
}

func TestConnectFails(t *testing.T) {
	t.Parallel()
	u := server(t)
	with := func(change func(u *url.URL)) string {
		c := *u
		change(&c)
		return c.String()
	}
	for name, tt := range map[string]struct{ address, want, hint string }{
		"password": {with(func(u *url.URL) { u.User = url.UserPassword("postgres", "hunter2") }), "password authentication failed", "password"},
		"database": {with(func(u *url.URL) { u.Path = "/nowhere" }), "does not exist", "name of the database"},
		"refused":  {with(func(u *url.URL) { u.Host = "127.0.0.1:1" }), "refused", "is the server running"},
		"sslmode":  {with(func(u *url.URL) { u.RawQuery = "sslmode=nonsense" }), "sslmode", ""},
		"no TLS":   {with(func(u *url.URL) { u.RawQuery = "sslmode=require" }), "TLS", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pg.Connect(t.Context(), parse(t, tt.address), "upkeep test")
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(jobs.HintOf(err), tt.hint) {
				t.Errorf("%v; hint %q", err, jobs.HintOf(err))
			}
			password, _ := u.User.Password()
			if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), password)) {
				t.Errorf("the password stands in %v", err)
			}
		})
	}
	// The first host that answers is taken.
	c, err := pg.Connect(t.Context(), parse(t, with(func(x *url.URL) { x.Host = "127.0.0.1:1," + u.Host })), "upkeep test")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Hangup(t.Context()); err != nil {
		t.Error(err)
	}
}

func client(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pg_dump", "pg_restore"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho \"pg_dump (PostgreSQL) "+version+"\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindClient(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := "PATH=" + strings.Join([]string{
		client(t, root+"/a", "914.2 (Debian 914.2-1)"), client(t, root+"/b", "916beta1"), client(t, root+"/c", "920devel"), client(t, root+"/d", "nonsense"), root + "/none", "relative",
	}, ":")
	for major, want := range map[int]string{914: "a", 915: "b", 916: "b", 917: "c", 920: "c"} {
		c, err := pg.FindClient(t.Context(), []string{path}, "", major, "pg_dump", "pg_restore")
		if err != nil || filepath.Base(c.Dir) != want {
			t.Errorf("for %d: %+v, %v", major, c, err)
		}
	}
	_, err := pg.FindClient(t.Context(), []string{path}, "", 921, "pg_dump", "pg_restore")
	if too, ok := errors.AsType[*pg.ClientError](err); !ok || too.Found[0].Version != "920devel" || !strings.Contains(jobs.HintOf(err), "postgresql-client-921") {
		t.Errorf("%v", err)
	}
	if c, err := pg.FindClient(t.Context(), []string{path}, root+"/a", 900, "pg_dump"); err != nil || c.Version != "914.2" || c.Program("pg_dump") != root+"/a/pg_dump" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, dir := range []string{root + "/d", root + "/none"} {
		if _, err := pg.FindClient(t.Context(), []string{path}, dir, 900, "pg_dump"); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := os.Symlink("/bin/sh", root+"/a/pg_dumpall"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(root+"/debian", 0o755); err != nil {
		t.Fatal(err)
	}
	client(t, root+"/debian/share", "930")
	if err := errors.Join(os.Rename(root+"/debian/share/pg_dump", root+"/debian/share/pg_wrapper"), os.Symlink("share/pg_wrapper", root+"/debian/pg_dump")); err != nil {
		t.Fatal(err)
	}
	if _, err := pg.FindClient(t.Context(), []string{"PATH=" + root + "/debian"}, "", 921, "pg_dump"); err == nil {
		t.Error("a wrapper was taken for a client")
	}
}

// pooler speaks the protocol and lends its few server connections out, for a
// transaction or for a session.
type pooler struct {
	listener    net.Listener
	transaction bool
	free        chan *backend
	wg          sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

type backend struct {
	net.Conn
	front *pgproto3.Frontend
}

func newPooler(t *testing.T, u *url.URL, transaction bool) *pooler {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pooler{listener: l, transaction: transaction, free: make(chan *backend, 3)}
	for range cap(p.free) {
		c, err := pg.Connect(t.Context(), parse(t, u.String()), "pooler")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.PgConn().Hijack()
		if err != nil {
			t.Fatal(err)
		}
		p.conns = append(p.conns, raw.Conn)
		p.free <- &backend{Conn: raw.Conn, front: raw.Frontend}
	}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *pooler) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns = append(p.conns, c)
		p.mu.Unlock()
		p.wg.Go(func() {
			defer c.Close() //nolint:errcheck // a test's connection
			_ = p.session(c)
		})
	}
}

func (p *pooler) session(c net.Conn) error {
	back := pgproto3.NewBackend(c, c)
	if _, err := back.ReceiveStartupMessage(); err != nil {
		return err
	}
	back.Send(&pgproto3.AuthenticationOk{})
	back.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	back.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := back.Flush(); err != nil {
		return err
	}
	var lent *backend
	defer func() {
		if lent != nil {
			p.free <- lent
		}
	}()
	for {
		m, err := back.Receive()
		if err != nil {
			return err
		}
		if _, bye := m.(*pgproto3.Terminate); bye {
			return nil
		}
		if lent == nil {
			lent = <-p.free
		}
		lent.front.Send(m)
		_, query := m.(*pgproto3.Query)
		_, sync := m.(*pgproto3.Sync)
		if !query && !sync {
			continue
		}
		if err := lent.front.Flush(); err != nil {
			return err
		}
		for {
			answer, err := lent.front.Receive()
			if err != nil {
				return err
			}
			back.Send(answer)
			ready, ok := answer.(*pgproto3.ReadyForQuery)
			if !ok {
				continue
			}
			if err := back.Flush(); err != nil {
				return err
			}
			if p.transaction && ready.TxStatus == 'I' {
				p.free <- lent
				lent = nil
			}
			break
		}
	}
}

func TestPooler(t *testing.T) {
	t.Parallel()
	for name, transaction := range map[string]bool{"transaction": true, "session": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := *server(t)
			p := newPooler(t, &u, transaction)
			u.Host = p.listener.Addr().String()
			c, err := pg.Connect(t.Context(), parse(t, u.String()), "upkeep test")
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := c.Hangup(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			pooled, err := c.Pooled(t.Context())
			_, refused := errors.AsType[*pg.PoolerError](err)
			if !pooled || refused != transaction || !refused && err != nil {
				t.Errorf("pooled %v, %v", pooled, err)
			}
			if refused && !strings.Contains(jobs.HintOf(err), "direct address") {
				t.Errorf("hint %q", jobs.HintOf(err))
			}
		})
	}
}
