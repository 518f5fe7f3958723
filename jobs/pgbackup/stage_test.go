package pgbackup_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// serverVariable names the environment variable that holds the URL of a
// PostgreSQL superuser.
const serverVariable = "UPKEEP_TEST_POSTGRES_URL"

// serverURL returns the address of the test server's database of that name.
func serverURL(t testing.TB, name string) string {
	t.Helper()
	text := os.Getenv(serverVariable)
	if text == "" {
		t.Fatalf("%s is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh", serverVariable)
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatalf("%s is not a URL", serverVariable)
	}
	if name != "" {
		u.Path = "/" + name
	}
	return u.String()
}

// connect returns a connection that lasts as long as the test.
func connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), address)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = c.Close(ctx) // its server process may have been killed by the test
	})
	return c
}

func exec(t testing.TB, c *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := c.Exec(context.Background(), s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
}

// newDatabase makes a database that is dropped when the test ends.
func newDatabase(t testing.TB, name string, statements ...string) string {
	t.Helper()
	if name == "" {
		name = "backup_" + strings.ToLower(rand.Text()[:10])
	}
	admin := connect(t, serverURL(t, ""))
	exec(t, admin, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0 ENCODING 'UTF8'")
	t.Cleanup(func() {
		exec(t, connect(t, serverURL(t, "")), "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	})
	c := connect(t, serverURL(t, name))
	exec(t, c, statements...)
	if err := c.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return name
}

// bench is a job with its surroundings.
type bench struct {
	t       testing.TB
	name    string
	store   object.Store
	options pgbackup.Options
	past    []jobs.Past
	hooks   jobs.Hooks
	out     *jobstest.Buffer
	work    string
	url     string
	runID   string
	more    map[string]object.Store
	dbs     map[string]string
}

func newBench(t testing.TB, statements ...string) *bench {
	t.Helper()
	return benchOn(t, newDatabase(t, "", statements...))
}

func benchOn(t testing.TB, name string) *bench {
	t.Helper()
	b := &bench{t: t, name: name, store: objecttest.NewMemory("s"), out: &jobstest.Buffer{}, work: t.TempDir(), url: serverURL(t, name)}
	b.options = *jobstest.Options[pgbackup.Options](t, pgbackup.Kind().Options())
	b.options.Database, b.options.Store = unit.Names{"main"}, unit.Names{"s"}
	return b
}

func (b *bench) env() *jobs.Env {
	return jobs.NewEnv(jobs.Env{
		RunID: b.runID, Workflow: "daily", Job: "backup", Attempt: 1, Node: "n", Version: "v1",
		WorkDir: b.work, KillGrace: 2 * time.Second, Out: b.out,
	}, b.hooks)
}

func (b *bench) run(ctx context.Context) (jobs.Result, error) {
	b.t.Helper()
	b.runID = "run-" + rand.Text()
	deps := jobstest.NewDeps(b.t)
	for name, store := range b.more {
		deps.AddStore(name, store)
	}
	for name, address := range b.dbs {
		deps.AddDatabase(jobs.Database{Name: name, Kind: "postgres", URL: secret.New(address)})
	}
	deps.AddStore("s", b.store)
	deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(b.url)})
	for _, p := range b.past {
		deps.AddPast("", "", p)
	}
	job, err := pgbackup.Kind().Build(&b.options, deps)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := job.Run(ctx, b.env())
	if left, globErr := filepath.Glob(b.work + "/*"); globErr != nil || len(left) > 0 {
		b.t.Errorf("left in the working directory: %q, %v", left, globErr)
	}
	return r, err
}

// artifacts returns what the store holds, newest last.
func (b *bench) artifacts() []*object.Artifact {
	b.t.Helper()
	var out []*object.Artifact
	for a, err := range object.Artifacts(context.Background(), b.store, "") {
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

// one returns the only artifact and its details.
func (b *bench) one() (*object.Artifact, pgbackup.Details) {
	b.t.Helper()
	all := b.artifacts()
	if len(all) != 1 {
		b.t.Fatalf("the store holds %d artifacts", len(all))
	}
	d, err := pgbackup.DetailsOf(all[0].Manifest)
	if err != nil {
		b.t.Fatal(err)
	}
	return all[0], d
}

// empty fails unless the store holds nothing at all.
func (b *bench) empty() {
	b.t.Helper()
	for info, err := range b.store.List(context.Background(), "") {
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Errorf("left in the store: %s", info.Key)
	}
}

func pathOf(text string) unit.Path { return unit.Path(text) }

// refused tells whether a safety rail stopped the job.
func refused(err error) bool {
	_, ok := errors.AsType[*jobs.RefusedError](err)
	return ok
}

func (b *bench) port() string {
	b.t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.Port()
}

func digestOf(text []byte) object.Digest {
	sum := sha256.Sum256(text)
	return object.Digest{Bytes: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
}
