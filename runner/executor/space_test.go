package executor_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

func TestHandle_LedgerFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, job("a", takes(time.Second)), job("b", fine, needs("a")))
		told, tries := 0, 0
		b.options.OnNoSpace = func() { told++ }
		start := time.Now()
		b.ledger.onAdvance = func(runner.Step) error {
			if gone := time.Since(start); gone > 0 && gone < time.Hour {
				tries++
				return fmt.Errorf("record: %w", runner.ErrNoSpace)
			}
			return nil
		}
		b.handle(t.Context())
		if b.ledger.verdict() != "succeeded" || told == 0 || told != tries {
			t.Errorf("run %s, told %d times in %d tries", b.ledger.verdict(), told, tries)
		}
		if tries > 600 {
			t.Errorf("%d tries in an hour: it loops", tries)
		}
	})
}

func TestHandle_NoSpaceForTheJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := &os.PathError{Op: "write", Path: "/backup/x", Err: syscall.ENOSPC}
		b := newBench(t, job("a", fate(full, full, nil), tries(2)), job("b", fate(full)))
		b.handle(t.Context())
		got := b.ledger.states()
		if got["a"] != "succeeded" || b.ledger.latest()["a"].Number != 3 || got["b"] != "failed/space" || b.ledger.verdict() != "failed/space" {
			t.Errorf("run %s, jobs %v", b.ledger.verdict(), got)
		}
	})
}

// TestHandle_SmallDisk lets a run meet the end of the disk that holds its live
// output and its ledger: what it said is kept, it ends well, and it is recorded
// when there is room again.
func TestHandle_SmallDisk(t *testing.T) {
	t.Parallel()
	objecttest.OnSmallDisk(t, 4<<20, func(dir string) {
		filler := filepath.Join(dir, "filler")
		l, err := ledger.Open(t.Context(), ledger.Options{DSN: secret.New("sqlite:" + filepath.Join(dir, "upkeep.db")), Exclusive: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := l.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
		line := bytes.Repeat([]byte("all that it said, kept until the end\n"), 1000)
		var told, full atomic.Int32
		talks := func(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
			if err := fill(filler); err != nil {
				return jobs.Result{}, err
			}
			for range 20 {
				if _, err := env.Out.Write(line); err != nil {
					return jobs.Result{}, err
				}
			}
			full.Store(told.Load())
			return fine(ctx, env)
		}
		log := &strings.Builder{}
		x := executor.New(executor.Options{
			Ledger: l, LiveDir: filepath.Join(dir, "live"), WorkDir: filepath.Join(dir, "work"),
			Log: slog.New(slog.NewTextHandler(log, nil)),
			Compiler: compiler{plan: runner.Plan{Parallel: 1, KillGrace: time.Second, Root: dir, Jobs: []runner.PlannedJob{
				job("talks", talks), job("next", fine, needs("talks")),
			}}},
			OnNoSpace: func() {
				// As the daemon releases its ballast, but later than at once.
				if told.Add(1) == 4 {
					if err := os.Remove(filler); err != nil {
						t.Error(err)
					}
				}
			},
		})
		answers, err := l.Submit(t.Context(), runner.Request{Spec: runner.Spec{Workflow: "full", Text: "jobs: {}"}, Slot: time.Now(), Trigger: runner.BySchedule})
		if err != nil {
			t.Fatal(err)
		}
		x.Handle(t.Context(), answers[0].Run)
		run, err := l.Run(t.Context(), string(answers[0].Run))
		if err != nil || run.State != runner.Succeeded {
			t.Errorf("run %s/%s: %s, %v", run.State, run.Reason, run.Message, err)
		}
		if full.Load() != 1 || told.Load() < 4 {
			t.Errorf("told %d times while the job ran and %d times in all; the disk was never full", full.Load(), told.Load())
		}
		out, err := l.Output(t.Context(), runner.AttemptKey{Run: run.ID, Job: "talks", Number: 1})
		if err != nil || int64(len(out.Head)+len(out.Tail))+out.Cut != int64(20*len(line)) || out.Cut != 0 {
			t.Errorf("%d bytes of output, %d cut, %v; want all %d", len(out.Head)+len(out.Tail), out.Cut, err, 20*len(line))
		}
		if n := strings.Count(log.String(), "cannot be followed"); n != 1 {
			t.Errorf("%d lines say that the capture stopped, want one:\n%s", n, log.String())
		}
	})
}

// fill writes to path until nothing more fits.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, size := range []int{64 << 10, 4 << 10, 512, 1} {
		for err = nil; err == nil; {
			_, err = io.WriteString(file, strings.Repeat("x", size))
		}
		if !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
			return err
		}
	}
	return file.Close()
}
