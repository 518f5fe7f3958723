package pgbackup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// large makes a table whose dump is far larger than all buffers on its way.
var large = []string{
	`CREATE TABLE large (id int, v text)`,
	`INSERT INTO large SELECT i, repeat(md5(i::text), 64) FROM generate_series(1, 30000) i`,
}

// during calls do once, when the first bytes of a dump have reached the store,
// and lets the dump go on when do has returned.
type during struct {
	object.Store
	do   func()
	once sync.Once
}

// Put implements object.Store.
func (d *during) Put(ctx context.Context, key string, r io.Reader, o object.PutOptions) (object.Info, error) {
	if strings.Contains(key, ".dump") || strings.Contains(key, ".dir.tar") {
		r = &meeting{r: r, during: d}
	}
	return d.Store.Put(ctx, key, r, o)
}

type meeting struct {
	r      io.Reader
	during *during
}

func (m *meeting) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if n > 0 {
		m.during.once.Do(m.during.do)
	}
	return n, err
}

// ours returns the processes of pg_dump of a run, by its mark.
func ours(t testing.TB, run, program string) []int {
	t.Helper()
	var found []int
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		environment, _ := os.ReadFile(filepath.Join(folder, "environ")) // it may have ended
		comm, _ := os.ReadFile(filepath.Join(folder, "comm"))
		if strings.Contains(string(environment), "UPKEEP_RUN_ID="+run+"\x00") && strings.TrimSpace(string(comm)) == program {
			var pid int
			if _, err := fmt.Sscan(filepath.Base(folder), &pid); err == nil {
				found = append(found, pid)
			}
		}
	}
	return found
}

// TestFaultsLeaveNothing: whatever ends a dump half-way, nothing of it can be
// seen, and the next run is as good as any.
func TestFaultsLeaveNothing(t *testing.T) {
	t.Parallel()
	stop := errors.New("stopped by the test")
	for name, tt := range map[string]struct {
		jobs   int
		strike func(t *testing.T, b *bench, cancel context.CancelCauseFunc)
		want   string
	}{
		"pg_dump killed": {1, func(t *testing.T, b *bench, _ context.CancelCauseFunc) {
			pids := ours(t, b.runID, "pg_dump")
			if len(pids) != 1 {
				t.Errorf("%d processes of pg_dump", len(pids))
			}
			for _, pid := range pids {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			}
		}, "SIGKILL"},
		"backend killed": {1, func(t *testing.T, b *bench, _ context.CancelCauseFunc) {
			terminate(t, b, "state = 'active' AND query LIKE 'COPY %'")
		}, "exit status 1"},
		"canceled": {1, func(_ *testing.T, _ *bench, cancel context.CancelCauseFunc) { cancel(stop) }, stop.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, large...)
			b.options.Jobs, b.options.Compression = tt.jobs, "none"
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			memory := b.store
			var fired atomic.Bool
			b.store = &during{Store: memory, do: func() { fired.Store(true); tt.strike(t, b, cancel) }}
			r, err := b.run(ctx)
			if !fired.Load() {
				t.Fatal("the fault never fired")
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q; %s", err, tt.want, r.Summary)
			}
			if name == "canceled" && !errors.Is(err, stop) {
				t.Errorf("%v does not wrap the cause", err)
			}
			b.store = memory
			b.empty()
			if left := ours(t, b.runID, "pg_dump"); len(left) > 0 {
				t.Errorf("processes %v are left", left)
			}
			if _, err := b.run(t.Context()); err != nil {
				t.Errorf("the next run: %v", err)
			}
			b.one()
		})
	}
}

// terminate ends the sessions of a run that meet a condition.
func terminate(t *testing.T, b *bench, condition string) {
	t.Helper()
	n := pgtest.Ask[int64](t, pgtest.Connect(t, pgtest.URL(t, "")), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = $1 AND application_name LIKE 'upkeep %' AND `+condition, b.name)
	if n != 1 {
		t.Errorf("%d sessions were ended", n)
	}
}

// TestStoresThatLie: what a store does not hold is not a backup.
func TestStoresThatLie(t *testing.T) {
	t.Parallel()
	fault := func(f objecttest.Fault) []objecttest.Fault { return []objecttest.Fault{f} }
	for name, tt := range map[string]struct {
		faults []objecttest.Fault
		want   string
	}{
		"full disk":       {fault(objecttest.Fault{Method: objecttest.Put, Key: ".dump", Err: syscall.ENOSPC, After: 1 << 20}), "no space"},
		"lost dump":       {fault(objecttest.Fault{Method: objecttest.Put, Key: ".dump", Lose: true}), "missing"},
		"lost manifest":   {fault(objecttest.Fault{Method: objecttest.Put, Key: "manifest", Lose: true}), "manifest"},
		"old bytes":       {fault(objecttest.Fault{Method: objecttest.Get, Key: ".dump", Body: func([]byte) []byte { return []byte("PGDMP old") }}), "damaged"},
		"nothing":         {fault(objecttest.Fault{Method: objecttest.Get, Key: ".dump", Body: func([]byte) []byte { return nil }}), "damaged"},
		"a flipped byte":  {fault(objecttest.Fault{Method: objecttest.Get, Key: ".dump", Body: flip}), "damaged"},
		"fails to answer": {fault(objecttest.Fault{Method: objecttest.Get, Key: ".dump", Err: syscall.ECONNRESET, After: 1 << 20}), "connection reset"},
		"globals cut":     {fault(objecttest.Fault{Method: objecttest.Get, Key: "globals", Body: func(b []byte) []byte { return b[:len(b)/2] }}), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, large...)
			b.options.Compression = "none"
			memory := b.store
			b.store = objecttest.NewFaulty(t, memory, tt.faults...)
			r, err := b.run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if len(r.Artifacts) > 0 {
				t.Errorf("the result names artifacts: %v", r.Artifacts)
			}
			b.store = memory
			b.empty()
		})
	}
}

func flip(stored []byte) []byte {
	out := append([]byte(nil), stored...)
	out[len(out)/2] ^= 1
	return out
}

// TestOneStoreOfTwo: a store that fails does not take the backup from the other.
func TestOneStoreOfTwo(t *testing.T) {
	t.Parallel()
	b := newBench(t, large...)
	b.options.Store = unit.Names{"s", "full"}
	b.more = map[string]object.Store{"full": objecttest.NewFaulty(t, objecttest.NewMemory("full"), objecttest.Fault{Method: objecttest.Put, Key: ".dump", Err: syscall.ENOSPC})}
	_, err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "store full") {
		t.Errorf("%v", err)
	}
	if a, _ := b.one(); a.Level() != object.L2 {
		t.Errorf("level %s", a.Level())
	}
}

func TestLockIsNamed(t *testing.T) {
	t.Parallel()
	for name, connections := range map[string]int{"custom": 1, "directory": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `CREATE TABLE t (id int)`)
			b.options.LockTimeout, b.options.Jobs = unit.Duration(time.Second), connections
			holder := pgtest.Connect(t, pgtest.Called(t, b.url, "culprit"))
			pgtest.Exec(t, holder, "BEGIN", "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
			_, err := b.run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "culprit") || !strings.Contains(err.Error(), "idle in transaction") {
				t.Errorf("%v", err)
			}
			if !strings.Contains(jobs.HintOf(err), "lock_timeout") || !strings.Contains(b.out.String(), "waits for a lock") {
				t.Errorf("hint %q, said %s", jobs.HintOf(err), b.out)
			}
			b.empty()
			pgtest.Exec(t, holder, "ROLLBACK")
			if _, err := b.run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSnapshotLost: the session that holds the snapshot ends while pg_dump still
// waits for its locks.
func TestSnapshotLost(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE t (id int)`)
	holder := pgtest.Connect(t, b.url)
	pgtest.Exec(t, holder, "BEGIN", "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
	done := make(chan error)
	go func() {
		_, err := b.run(t.Context())
		done <- err
	}()
	for !strings.Contains(b.out.String(), "waits for a lock") {
		time.Sleep(10 * time.Millisecond) // until the job says so
	}
	terminate(t, b, "query NOT LIKE 'LOCK %'")
	if err := <-done; err == nil || !strings.Contains(err.Error(), "snapshot was lost") {
		t.Errorf("%v", err)
	}
	b.empty()
}

func TestNetworkFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		strike func(p *pgtest.Proxy)
		want   string
	}{
		"cut":     {(*pgtest.Proxy).Cut, "connection"},
		"silence": {(*pgtest.Proxy).Stall, "idle_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, large...)
			p, direct := pgtest.NewProxy(t, b.url), b.url
			b.url = p.URL
			b.options.Compression, b.options.IdleTimeout, b.options.LockTimeout = "none", unit.Duration(2*time.Second), unit.Duration(time.Second)
			memory := b.store
			var fired atomic.Bool
			b.store = &during{Store: memory, do: func() { fired.Store(true); tt.strike(p) }}
			_, err := b.run(t.Context())
			if !fired.Load() {
				t.Fatal("the fault never fired")
			}
			if err == nil || !strings.Contains(err.Error()+jobs.HintOf(err), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			b.store, b.url = memory, direct
			b.empty()
			if _, err := b.run(t.Context()); err != nil {
				t.Errorf("the next run: %v", err)
			}
		})
	}
}

func TestSnapshotTimeout(t *testing.T) {
	t.Parallel()
	b := newBench(t, large...)
	b.options.Compression, b.options.SnapshotTimeout = "none", unit.Duration(time.Second)
	memory := b.store
	released := make(chan struct{})
	b.store = &during{Store: memory, do: func() { <-released }}
	time.AfterFunc(1500*time.Millisecond, func() { close(released) })
	_, err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "snapshot_timeout") {
		t.Errorf("%v", err)
	}
	b.store = memory
	b.empty()
}
