package pgbackup_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
	"github.com/ghosteam/upkeep/storage/object/s3"
)

// newBucket makes a bucket on the test server.
func newBucket(t testing.TB) s3.Options {
	t.Helper()
	for _, name := range []string{"UPKEEP_TEST_S3_ENDPOINT", "UPKEEP_TEST_S3_DIR"} {
		if os.Getenv(name) == "" {
			t.Fatalf("%s is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh", name)
		}
	}
	p := place{
		Endpoint: os.Getenv("UPKEEP_TEST_S3_ENDPOINT"), Bucket: "arrows-" + strings.ToLower(rand.Text()),
		Access: os.Getenv("UPKEEP_TEST_S3_ACCESS_KEY"), Secret: os.Getenv("UPKEEP_TEST_S3_SECRET_KEY"),
	}
	dir := filepath.Join(os.Getenv("UPKEEP_TEST_S3_DIR"), p.Bucket)
	if err := os.Mkdir(dir, 0o755); err != nil { // the server keeps a bucket as a directory
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return p.options()
}

// place is a bucket.
type place struct{ Endpoint, Bucket, Access, Secret string }

func (p place) options() s3.Options {
	o := s3.Defaults()
	o.Profile, o.Endpoint, o.Bucket, o.Prefix = "minio", p.Endpoint, p.Bucket, "prod"
	o.AccessKey, o.SecretKey = secret.New(p.Access), secret.New(p.Secret)
	o.PartSize, o.Parallel = 5<<20, 1
	o.Attempts, o.RetryDelay, o.Timeout = 4, unit.Duration(time.Millisecond), unit.Duration(time.Second)
	return o
}

func openBucket(t testing.TB, o s3.Options) *s3.Store {
	t.Helper()
	store, err := s3.Open("s", o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// work is the job itself.
func (v victim) work(ctx context.Context, t testing.TB, dir string, wrap func(*local.Store) object.Store) (jobs.Result, error) {
	var store object.Store
	if v.Bucket != nil {
		bucket, err := s3.Open("s", v.Bucket.options())
		if err != nil {
			return jobs.Result{}, err
		}
		store = bucket
	} else {
		disk, err := local.Open("s", local.Options{Path: unit.Path(v.Store)})
		if err != nil {
			return jobs.Result{}, err
		}
		store = wrap(disk)
	}
	deps := pgtest.Deps(t, v.URL, nil)
	deps.AddStore("s", store)
	o := pgbackup.Kind().Options().(*pgbackup.Options)
	o.Database, o.Store, o.Jobs, o.Compression = unit.Names{pgtest.Main}, unit.Names{"s"}, v.Jobs, "none"
	o.Keep.Last = 2
	job, err := pgbackup.Kind().Build(o, deps)
	if err != nil {
		return jobs.Result{}, err
	}
	work, err := os.MkdirTemp(v.Dir, "work")
	if err != nil {
		return jobs.Result{}, err
	}
	return job.Run(ctx, jobs.NewEnv(jobs.Env{
		RunID: v.Run, Workflow: "daily", Job: "backup", Attempt: 1, Node: "n", Version: "v1", WorkDir: work, KillGrace: 2 * time.Second, Out: &jobstest.Buffer{},
	}, jobs.Hooks{}))
}
