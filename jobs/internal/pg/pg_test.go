package pg_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func server(t testing.TB) *url.URL {
	t.Helper()
	u, err := url.Parse(pgtest.URL(t, ""))
	if err != nil {
		t.Fatalf("%s is not a URL", pgtest.Variable)
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
	c := open(t, u.String())
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
	open(t, with(func(x *url.URL) { x.Host = "127.0.0.1:1," + u.Host }))
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

func TestPooler(t *testing.T) {
	t.Parallel()
	for name, lending := range map[string]pgtest.Lending{"transaction": pgtest.ByTransaction, "session": pgtest.BySession} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, pgtest.NewPooler(t, pgtest.URL(t, ""), lending))
			pooled, err := c.Pooled(t.Context())
			_, refused := errors.AsType[*pg.PoolerError](err)
			if !pooled || refused != (lending == pgtest.ByTransaction) || !refused && err != nil {
				t.Errorf("pooled %v, %v", pooled, err)
			}
			if refused && !strings.Contains(jobs.HintOf(err), "direct address") {
				t.Errorf("hint %q", jobs.HintOf(err))
			}
		})
	}
}
