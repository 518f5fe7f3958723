package prune_test

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/prune"
)

// forest makes folders of empty logs, every other one old enough to go. Where
// it is made follows TMPDIR, so that file systems can be compared.
func forest(b *testing.B, folders, each int) string {
	b.Helper()
	root := filepath.Join(b.TempDir(), "logs")
	old := time.Now().Add(-30 * day)
	for i := range folders {
		dir := filepath.Join(root, fmt.Sprintf("app-%03d", i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		for j := range each {
			path := filepath.Join(dir, fmt.Sprintf("service-%06d.log", j))
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				b.Fatal(err)
			}
			if j%2 == 0 {
				if err := os.Chtimes(path, old, old); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	return root
}

// BenchmarkPrune deletes every other of 200,000 files, beside find -delete on
// the same tree. TMPDIR decides on which file system.
func BenchmarkPrune(b *testing.B) {
	const folders, each = 200, 1000
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			root := forest(b, folders, each)
			b.StartTimer()
			find := exec.Command("find", root, "-name", "*.log", "-mtime", "+7", "-delete")
			if out, err := find.CombinedOutput(); err != nil {
				b.Fatalf("find: %v: %s", err, out)
			}
			b.StopTimer()
			b.ReportMetric((find.ProcessState.UserTime() + find.ProcessState.SystemTime()).Seconds(), "cpu-s")
			remove(b, root)
			b.StartTimer()
		}
	})
	b.Run("prune", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			root := forest(b, folders, each)
			before := processorTime(b)
			b.StartTimer()
			r := pruneForest(b, root)
			b.StopTimer()
			b.ReportMetric((processorTime(b) - before).Seconds(), "cpu-s")
			if got := r.Values["deleted"]; got != folders*each/2 {
				b.Fatalf("deleted %v of %d", got, folders*each/2)
			}
			remove(b, root)
			b.StartTimer()
		}
	})
}

// nowhere is a log that costs what formatting costs.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func remove(b *testing.B, root string) {
	b.Helper()
	if err := os.RemoveAll(root); err != nil {
		b.Fatal(err)
	}
}

func pruneForest(b *testing.B, root string) jobs.Result {
	b.Helper()
	kind := prune.Kind()
	o := jobstest.Options[prune.Options](b, kind.Options())
	o.Root, o.Match, o.OlderThan, o.FirstRun = unit.Path(root), []string{"*.log"}, unit.Duration(7*day), "apply"
	job, err := kind.Build(o, jobstest.NewDeps(b))
	if err != nil {
		b.Fatal(err)
	}
	// The audit line of each effect is written as it is in production.
	log := slog.New(slog.NewJSONHandler(nowhere{}, nil))
	env := jobs.NewEnv(jobs.Env{}, jobs.Hooks{Effect: func(what string) { log.Info("effect", "what", what) }})
	r, err := job.Run(b.Context(), env)
	if err != nil {
		b.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapSys)/(1<<20), "MB-heap")
	return r
}
