package usage_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/usage"
)

// BenchmarkUsage measures 200,000 files, beside du -s on the same tree.
func BenchmarkUsage(b *testing.B) {
	root := b.TempDir()
	for i := range 200 {
		for j := range 1000 {
			write(b, filepath.Join(root, fmt.Sprint(i), fmt.Sprintf("%06d.log", j)), 0)
		}
	}
	b.Run("du", func(b *testing.B) {
		for b.Loop() {
			if out, err := exec.CommandContext(b.Context(), "du", "-s", root).CombinedOutput(); err != nil {
				b.Fatalf("du: %v: %s", err, out)
			}
		}
	})
	b.Run("usage", func(b *testing.B) {
		kind := usage.Kind()
		o := options(b, kind.Options())
		o.Paths = []usage.Target{{Name: "x", Path: unit.Path(root)}}
		for b.Loop() {
			job, err := kind.Build(o, jobstest.NewDeps(b))
			if err != nil {
				b.Fatal(err)
			}
			r, err := job.Run(b.Context(), jobs.NewEnv(jobs.Env{}, jobs.Hooks{}))
			if err != nil || r.Values["files.x"] != 200_000 {
				b.Fatalf("%+v, %v", r, err)
			}
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapSys)/(1<<20), "MB-heap")
	})
}
