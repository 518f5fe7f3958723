package pgbackup_test

import (
	"bytes"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
)

// sizeVariable says how large the database of the benchmark is, in MB.
const sizeVariable = "UPKEEP_BENCH_DATABASE_MB"

// benchDatabase makes a database like those of pgbench with a table of events.
func benchDatabase(b *testing.B) (string, int64) {
	b.Helper()
	size := 200
	if text := os.Getenv(sizeVariable); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil {
			b.Fatalf("%s: %v", sizeVariable, err)
		}
	}
	name := pgtest.Database(b,
		`CREATE TABLE accounts (aid int, bid int, abalance int, filler char(84))`,
		`CREATE TABLE events (id bigint, at timestamptz, kind text, doc jsonb)`,
		fmt.Sprintf(`INSERT INTO accounts SELECT i, i / 100000, (random() * 1e6)::int, '' FROM generate_series(1, %d) i`, size*4000),
		fmt.Sprintf(`INSERT INTO events SELECT i, now() - i * interval '1 s', 'kind ' || i %% 17, jsonb_build_object('user', i %% 9973, 'path', '/api/' || md5((i %% 5000)::text),
			'took', random(), 'tags', ARRAY['a', 'b', (i %% 13)::text], 'id', md5(i::text)) FROM generate_series(1, %d) i`, size*1700))
	c := pgtest.Connect(b, pgtest.URL(b, name))
	pgtest.Exec(b, c, "VACUUM ANALYZE")
	var bytes int64
	if err := c.QueryRow(b.Context(), "SELECT pg_database_size(current_database())").Scan(&bytes); err != nil {
		b.Fatal(err)
	}
	return name, bytes
}

// peak is the most memory this process had since reset.
func peak(b *testing.B, reset bool) float64 {
	b.Helper()
	if reset {
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
			b.Fatal(err)
		}
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kb float64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		b.Fatal(err)
	}
	return kb / 1e3
}

// rounds is how often each way of the benchmark is measured, in turns, so that
// what else the machine does strikes all alike.
const rounds = 3

// measured is what one backup took.
type measured struct {
	wall, cpu, peak float64
}

// BenchmarkBackup compares backups into a directory with the floor, which
// stores nothing, and with the pipe that a shell would use. It reports medians:
// seconds, MB of the database in a second, seconds of this machine's processors
// without the server's, and the most memory of this process.
func BenchmarkBackup(b *testing.B) {
	name, size := benchDatabase(b)
	dir := realClient(b)
	_, public := identity(b)
	shell := func(script string) func(b *testing.B) {
		return func(b *testing.B) {
			out := filepath.Join(b.TempDir(), "out")
			cmd := osexec.CommandContext(b.Context(), "bash", "-c", "set -o pipefail; "+script+"; rm -rf $OUT*")
			cmd.Env = append(os.Environ(), "SOURCE="+pgtest.URL(b, name), "DIR="+dir, "OUT="+out)
			if said, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, bytes.TrimSpace(said))
			}
		}
	}
	ours := func(change func(x *bench)) func(b *testing.B) {
		return func(b *testing.B) {
			disk, err := local.Open("s", local.Options{Path: pathOf(filepath.Join(b.TempDir(), "store"))})
			if err != nil {
				b.Fatal(err)
			}
			x := benchOn(b, name)
			x.store, x.options.Verify.Each, x.options.Globals = disk, object.L0, false
			change(x)
			if _, err := x.run(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := x.artifacts()[0].Remove(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	ways := []struct {
		name string
		run  func(b *testing.B)
	}{
		{"floor: pg_dump to nothing", shell(`$DIR/pg_dump -Fc -Z0 -d $SOURCE > /dev/null`)},
		{"pipe: pg_dump, zstd -3 -T2", shell(`$DIR/pg_dump -Fc -Z0 -d $SOURCE | zstd -q -3 -T2 > $OUT`)},
		{"pipe: pg_dump -j2, zstd of a tar", shell(`$DIR/pg_dump -Fd -j2 -Z0 -f $OUT.d -d $SOURCE && tar -C $OUT.d -c . | zstd -q -3 -T2 > $OUT`)},
		{"backup without counts", ours(func(x *bench) { x.options.CountRows = 0 })},
		{"backup", ours(func(*bench) {})},
		{"backup encrypted", ours(func(x *bench) { x.options.EncryptTo = []string{public} })},
		{"backup jobs 2", ours(func(x *bench) { x.options.Jobs = 2 })},
		{"backup verified L2", ours(func(x *bench) { x.options.Verify.Each = object.L2 })},
	}
	found := make([][]measured, len(ways))
	for range rounds {
		for i, way := range ways {
			peak(b, true)
			cpu, began := processors(b), time.Now()
			way.run(b)
			found[i] = append(found[i], measured{time.Since(began).Seconds(), processors(b) - cpu, peak(b, false)})
		}
	}
	for i, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			wall := middle(found[i], func(m measured) float64 { return m.wall })
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(wall, "s")
			b.ReportMetric(float64(size)/1e6/wall, "MB/s")
			b.ReportMetric(middle(found[i], func(m measured) float64 { return m.cpu }), "cpu-s")
			b.ReportMetric(middle(found[i], func(m measured) float64 { return m.peak }), "peak-MB")
		})
	}
}

// middle is the median of a measurement.
func middle(all []measured, of func(measured) float64) float64 {
	var values []float64
	for _, m := range all {
		values = append(values, of(m))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// processors is the processor time of this process and its children that
// ended.
func processors(b *testing.B) float64 {
	b.Helper()
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if err := syscall.Getrusage(who, &used); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	return total.Seconds()
}
