package pgindex_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	osexec "os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgindex"
)

// wide is an index of the table of predictions.
func wide() []pgindex.Index {
	return []pgindex.Index{{Name: "by_model", Table: "predictions", Columns: []string{"model_name"}}}
}

// applicationName begins the names of our sessions, and workName those of them
// that work.
const (
	applicationName = "upkeep index "
	workName        = applicationName + "work "
)

// building waits until an invalid index is there and its builder waits.
func (b *bench) building() {
	b.t.Helper()
	c := b.conn()
	pgtest.Await(b.t, c, "SELECT EXISTS (SELECT FROM pg_index WHERE NOT indisvalid)")
	pgtest.Blocked(b.t, c, b.name, workName)
}

func TestTableLocked(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions)
	b.options.Indexes, b.options.LockTimeout, b.options.Attempts = wide(), unit.Duration(20*time.Millisecond), 3
	c := b.conn()
	pgtest.Exec(t, c, "BEGIN", "LOCK TABLE predictions IN SHARE UPDATE EXCLUSIVE MODE")
	b.bad("canceling statement due to lock timeout (SQLSTATE 55P03) (3 tries)", false)
	b.has("")
	// When the lock is given back the next try succeeds.
	b.options.Attempts = 100
	done := b.begin(t.Context())
	pgtest.Blocked(t, b.conn(), b.name, workName)
	pgtest.Exec(t, c, "ROLLBACK")
	if err := <-done; err != nil {
		t.Fatalf("%v\n%s", err, b.out)
	}
	b.has("by_model")
	if !strings.Contains(b.out.String(), "public.predictions is locked; the next try is in 10ms") {
		t.Errorf("output:\n%s", b.out)
	}
}

// TestOldTransaction: a build that waits too long for an old transaction leaves
// nothing, and is tried again.
func TestOldTransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions)
	b.options.Indexes, b.options.WaitTimeout, b.options.Attempts = wide(), unit.Duration(700*time.Millisecond), 2
	c := b.conn()
	pgtest.Exec(t, c, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM pg_class", "LOCK TABLE predictions IN ROW EXCLUSIVE MODE")
	// What failed cannot be dropped either while the transaction is open.
	b.bad("lock timeout", false)
	if !strings.Contains(b.out.String(), "waits for process ") {
		t.Errorf("output:\n%s", b.out)
	}
	pgtest.Exec(t, c, "ROLLBACK")
	b.good()
	b.has("by_model")
}

// TestCanceled: a run that is stopped ends soon, its statement with it, and the
// next run drops what it left.
func TestCanceled(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions)
	b.options.Indexes = wide()
	c := b.conn()
	pgtest.Exec(t, c, "BEGIN", "LOCK TABLE predictions IN ROW EXCLUSIVE MODE")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := b.begin(ctx)
	b.building()
	why := errors.New("a person said so")
	cancel(why)
	if err := <-done; !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	pgtest.Gone(t, b.conn(), b.name, applicationName)
	b.has("!by_model_upkeep")
	pgtest.Exec(t, c, "ROLLBACK")
	b.values(b.good(), map[string]float64{"built": 1, "dropped": 1})
	b.has("by_model")
}

// TestBusy: two hosts do not build in one database at once.
func TestBusy(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions)
	b.options.Indexes = wide()
	c := b.conn()
	pgtest.Exec(t, c, "SELECT pg_advisory_lock(x'75706b6565702069'::bigint)")
	b.bad("another upkeep builds indexes in this database now", false)
	pgtest.Exec(t, c, "SELECT pg_advisory_unlock_all()")
	b.good()
}

// victimVariable tells a process of the test binary in which database it is to
// build until it is killed.
const victimVariable = "PGINDEX_VICTIM"

type victim struct{ Name, RunID string }

// TestKilled: a process that is killed while the server builds leaves an index
// that is not valid; the next run ends what is still at work on the server,
// drops the index and builds it.
func TestKilled(t *testing.T) {
	t.Parallel()
	if text := os.Getenv(victimVariable); text != "" {
		dies(t, text)
		return
	}
	for name, prepare := range map[string]func(o *pgindex.Options){
		"create":  func(o *pgindex.Options) { o.Indexes = wide() },
		"reindex": func(o *pgindex.Options) { o.Reindex.Invalid = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, predictions)
			prepare(&b.options)
			c := b.conn()
			want := "by_model"
			if name == "reindex" {
				pgtest.Exec(t, c, "CREATE INDEX other ON predictions (id)", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'other'::regclass")
				want = "other"
			}
			pgtest.Exec(t, c, "BEGIN", "LOCK TABLE predictions IN ROW EXCLUSIVE MODE")
			text, err := json.Marshal(victim{Name: b.name, RunID: name})
			if err != nil {
				t.Fatal(err)
			}
			cmd := osexec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$", "-test.count=1")
			cmd.Env = append(os.Environ(), victimVariable+"="+string(text))
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			b.building()
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("the process was not killed: %v\n%s", err, said.String())
			}
			done := b.begin(t.Context())
			// Its session on the server would go on waiting; the next run ends it.
			pgtest.Gone(t, b.conn(), b.name, workName+name)
			pgtest.Exec(t, c, "ROLLBACK")
			if err := <-done; err != nil {
				t.Fatalf("%v\n%s", err, b.out)
			}
			b.has(want)
			if name == "create" && !strings.Contains(b.out.String(), "by_model is built") {
				t.Errorf("output:\n%s", b.out)
			}
			b.good()
			b.has(want)
		})
	}
}

func dies(t *testing.T, text string) {
	var v victim
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, name: v.Name, url: pgtest.URL(t, v.Name), runID: v.RunID}
	b.options = *pgindex.Kind().Options().(*pgindex.Options)
	b.options.Database, b.options.MinFree = pgtest.Main, 0
	if v.RunID == "create" {
		b.options.Indexes = wide()
	} else {
		b.options.Reindex.Invalid = true
	}
	_, err := b.run(t.Context())
	t.Fatalf("not killed: %v", err)
}
