package executor_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/script"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/executor"
	"github.com/ghosteam/upkeep/runner/queue/local"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// BenchmarkRun measures runs of one job that are recorded durably in an SQLite
// ledger, from Submit to the end on record, against the bare work. cpu-ms/run
// counts this process and its children.
func BenchmarkRun(b *testing.B) {
	nothing := func(runner.HistoryReader) (jobs.Job, []string, error) { return work{run: fine}, nil, nil }
	program := scriptOf("/bin/true")
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
	l, x := benchEngine(b, b.TempDir(), build)
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

// BenchmarkDueTogether measures many runs of /bin/true that are due in the same
// second: submitted in one transaction, handed out by the queue with so many
// slots, recorded durably. Lags are from before the submission to the start on
// record, by the runs' own records.
func BenchmarkDueTogether(b *testing.B) {
	for _, count := range []int{100, 1000} {
		for _, slots := range []int{8, count} {
			b.Run(fmt.Sprintf("%d/%d", count, slots), func(b *testing.B) { benchTogether(b, count, slots) })
		}
	}
}

func benchTogether(b *testing.B, count, slots int) {
	dir := b.TempDir()
	l, x := benchEngine(b, dir, scriptOf("/bin/true"))
	slot := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	var lags []time.Duration
	var took, cpu time.Duration
	for b.Loop() {
		slot = slot.Add(time.Minute)
		requests := make([]runner.Request, count)
		for i := range requests {
			requests[i] = runner.Request{Spec: runner.Spec{Workflow: fmt.Sprintf("bench-%d", i), Text: "jobs: {}"}, Slot: slot, Trigger: runner.BySchedule}
		}
		q := local.New(local.Options{Backlog: l, Slots: slots})
		ctx, drain := context.WithCancel(b.Context())
		over, ended := make(chan error, 1), make(chan struct{}, count)
		go func() {
			over <- q.Work(ctx, func(ctx context.Context, id runner.RunID) {
				x.Handle(ctx, id)
				ended <- struct{}{}
			})
		}()
		used, began := usedCPU(b), time.Now()
		answers, err := l.Submit(b.Context(), requests...)
		if err != nil {
			b.Fatal(err)
		}
		ids := make([]runner.RunID, count)
		for i, a := range answers {
			ids[i] = a.Run
		}
		if err := q.Deliver(b.Context(), ids...); err != nil {
			b.Fatal(err)
		}
		for range count {
			<-ended
		}
		took, cpu = took+time.Since(began), cpu+usedCPU(b)-used
		drain()
		if err := <-over; err != nil {
			b.Fatal(err)
		}
		for some := range slices.Chunk(ids, 100) {
			attempts, err := l.Attempts(b.Context(), some...)
			if err != nil {
				b.Fatal(err)
			}
			for _, a := range attempts {
				if a.State != runner.Succeeded {
					b.Fatalf("attempt %+v", a)
				}
				lags = append(lags, a.StartedAt.Sub(began))
			}
		}
	}
	slices.Sort(lags)
	for name, share := range map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1} {
		b.ReportMetric(lags[int(share*float64(len(lags)-1))].Seconds()*1000, name+"-lag-ms")
	}
	b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N*count), "cpu-ms/run")
	b.ReportMetric(took.Seconds()*1000/float64(b.N), "all-ms")
	b.ReportMetric(float64(peakMemory(b))/1e6, "peak-MB")
}

// peakMemory is the most memory that this process ever had (VmHWM), in bytes.
func peakMemory(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib << 10
}

// scriptOf builds a job of kind script that runs a program.
func scriptOf(argv ...string) func(runner.HistoryReader) (jobs.Job, []string, error) {
	kind := script.Kind()
	return func(runner.HistoryReader) (jobs.Job, []string, error) {
		options := kind.Options().(*script.Options)
		options.Run = argv
		job, err := kind.Build(options, nil)
		return job, nil, err
	}
}

// benchEngine is a ledger and an executor of workflows with one job.
func benchEngine(b *testing.B, dir string, build func(runner.HistoryReader) (jobs.Job, []string, error)) (*ledger.Ledger, *executor.Executor) {
	l, err := ledger.Open(b.Context(), ledger.Options{DSN: secret.New("sqlite:" + filepath.Join(dir, "upkeep.db")), Exclusive: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := l.Register(b.Context()); err != nil {
		b.Fatal(err)
	}
	return l, executor.New(executor.Options{
		Ledger: l, LiveDir: filepath.Join(dir, "live"), WorkDir: filepath.Join(dir, "work"),
		Compiler: compiler{plan: runner.Plan{Parallel: 2, KillGrace: time.Second, Root: dir, Jobs: []runner.PlannedJob{{Name: "only", Kind: "script", Build: build}}}},
	})
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
