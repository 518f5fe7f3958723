package archive_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/storage/object"
)

// benchTree makes about so many megabytes of mixed files: mostly small ones,
// text and CSV that compress, and a quarter of noise in large ones.
func benchTree(b *testing.B, dir string, megabytes int) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("the model predicted a score of for user at time with latency error retry cache miss hit batch feature drift value")
	text := func(size int) []byte {
		var s strings.Builder
		for s.Len() < size {
			fmt.Fprintf(&s, "%d,%s %s,%.6f\n", r.IntN(100000), words[r.IntN(len(words))], words[r.IntN(len(words))], r.Float64())
		}
		return []byte(s.String()[:size])
	}
	put := func(name string, body []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, body, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	sample := text(4 << 20)
	for i := range megabytes * 50 {
		at := r.IntN(len(sample) - 20000)
		put(fmt.Sprintf("small/%03d/%05d.csv", i%100, i), sample[at:at+1000+r.IntN(15000)])
	}
	noise := make([]byte, 4<<20)
	for i := range megabytes * 3 / 5 / 4 {
		if i%2 == 0 {
			for k := range noise {
				noise[k] = byte(r.Uint32())
			}
			put(fmt.Sprintf("large/%04d.bin", i), noise)
		} else {
			put(fmt.Sprintf("large/%04d.csv", i), text(len(noise)))
		}
	}
}

// BenchmarkArchive compares a whole run of the job, at each level of proof, with
// what people type, over the same tree.
func BenchmarkArchive(b *testing.B) {
	root := b.TempDir()
	benchTree(b, filepath.Join(root, "data"), 256)
	for _, command := range []string{
		`tar -cf - data | cat >/dev/null`,
		`tar -czf store.tar.gz data`,
		`tar -I 'zstd -T0' -cf store.tar.zst data`,
	} {
		b.Run(command, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), "sh", "-c", command)
				cmd.Dir = root
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
			}
		})
	}
	for _, level := range []object.Level{object.L0, object.L1, object.L2} {
		b.Run("archive verify="+string(level), func(b *testing.B) {
			for b.Loop() {
				o := archive.Kind().Options().(*archive.Options)
				o.Paths, o.Store, o.Verify.Each = []unit.Path{unit.Path(filepath.Join(root, "data"))}, unit.Names{"s"}, level
				deps := jobstest.NewDeps(&testing.T{})
				deps.AddStore("s", openLocal(b, filepath.Join(root, "store")))
				job, err := archive.Kind().Build(o, deps)
				if err != nil {
					b.Fatal(err)
				}
				r, err := job.Run(b.Context(), jobs.NewEnv(jobs.Env{Workflow: "daily", Job: "files", Root: root, WorkDir: b.TempDir()}, jobs.Hooks{}))
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(r.Values["bytes"]))
				b.ReportMetric(r.Values["stored_bytes"]/1e6, "stored-MB")
				if err := os.RemoveAll(filepath.Join(root, "store")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
