package executor_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/script"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// BenchmarkRun measures runs of one job that are recorded durably in an SQLite
// ledger, from Submit to the end on record, against the bare work. cpu-ms/run
// counts this process and its children.
func BenchmarkRun(b *testing.B) {
	nothing := func(runner.HistoryReader) (jobs.Job, []string, error) { return work{run: fine}, nil, nil }
	kind := script.Kind()
	program := func(runner.HistoryReader) (jobs.Job, []string, error) {
		options := kind.Options().(*script.Options)
		options.Run = []string{"/bin/true"}
		job, err := kind.Build(options, nil)
		return job, nil, err
	}
	b.Run("Nothing", func(b *testing.B) { benchRecorded(b, nothing) })
	b.Run("True", func(b *testing.B) { benchRecorded(b, program) })
	b.Run("TrueUnrecorded", func(b *testing.B) {
		before := usedCPU(b)
		for b.Loop() {
			if err := exec.CommandContext(b.Context(), "/bin/true").Run(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((usedCPU(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/run")
	})
}

func benchRecorded(b *testing.B, build func(runner.HistoryReader) (jobs.Job, []string, error)) {
	dir := b.TempDir()
	l, err := ledger.Open(b.Context(), ledger.Options{DSN: secret.New("sqlite:" + filepath.Join(dir, "upkeep.db")), Exclusive: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	}()
	if err := l.Register(b.Context()); err != nil {
		b.Fatal(err)
	}
	x := executor.New(executor.Options{
		Ledger: l, LiveDir: filepath.Join(dir, "live"), WorkDir: filepath.Join(dir, "work"),
		Compiler: compiler{plan: runner.Plan{Parallel: 2, KillGrace: time.Second, Root: dir, Jobs: []runner.PlannedJob{{Name: "only", Kind: "script", Build: build}}}},
	})
	slot := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	before := usedCPU(b)
	var last runner.RunID
	for b.Loop() {
		slot = slot.Add(time.Minute)
		answers, err := l.Submit(b.Context(), runner.Request{Spec: runner.Spec{Workflow: "bench", Text: "jobs: {}"}, Slot: slot, Trigger: runner.BySchedule})
		if err != nil {
			b.Fatal(err)
		}
		last = answers[0].Run
		x.Handle(context.Background(), last)
	}
	b.ReportMetric(float64((usedCPU(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/run")
	if run, err := l.Run(b.Context(), string(last)); err != nil || run.State != runner.Succeeded {
		b.Errorf("the last run is %s, %v", run.State, err)
	}
}

// usedCPU is the processor time of this process and its ended children.
func usedCPU(b *testing.B) time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if err := syscall.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return total
}
