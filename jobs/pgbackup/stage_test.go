package pgbackup_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

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
	return benchOn(t, pgtest.Database(t, statements...))
}

func benchOn(t testing.TB, name string) *bench {
	t.Helper()
	b := &bench{t: t, name: name, store: objecttest.NewMemory("s"), out: &jobstest.Buffer{}, work: t.TempDir(), url: pgtest.URL(t, name)}
	b.options = *jobstest.Options[pgbackup.Options](t, pgbackup.Kind().Options())
	b.options.Database, b.options.Store = unit.Names{pgtest.Main}, unit.Names{"s"}
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
	deps := pgtest.Deps(b.t, b.url, b.dbs)
	for name, store := range b.more {
		deps.AddStore(name, store)
	}
	deps.AddStore("s", b.store)
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
