package pgbackup_test

import (
	"bytes"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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
	name := newDatabase(b, "",
		`CREATE TABLE accounts (aid int, bid int, abalance int, filler char(84))`,
		`CREATE TABLE events (id bigint, at timestamptz, kind text, doc jsonb)`,
		fmt.Sprintf(`INSERT INTO accounts SELECT i, i / 100000, (random() * 1e6)::int, '' FROM generate_series(1, %d) i`, size*4000),
		fmt.Sprintf(`INSERT INTO events SELECT i, now() - i * interval '1 s', 'kind ' || i %% 17, jsonb_build_object('user', i %% 9973, 'path', '/api/' || md5((i %% 5000)::text),
			'took', random(), 'tags', ARRAY['a', 'b', (i %% 13)::text], 'id', md5(i::text)) FROM generate_series(1, %d) i`, size*1700))
	c := connect(b, serverURL(b, name))
	exec(b, c, "VACUUM ANALYZE")
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

// BenchmarkBackup compares backups into a directory with the floor, which
// stores nothing, and with the pipe that a shell would use.
func BenchmarkBackup(b *testing.B) {
	name, size := benchDatabase(b)
	dir := realClient(b)
	shell := func(script string) func(b *testing.B) {
		return func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				cmd := osexec.CommandContext(b.Context(), "bash", "-c", "set -o pipefail; "+script)
				cmd.Env = append(os.Environ(), "SOURCE="+serverURL(b, name), "DIR="+dir, "OUT="+filepath.Join(b.TempDir(), "out"))
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, bytes.TrimSpace(out))
				}
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
			x.store, x.options.Verify, x.options.Globals = disk, object.L0, false
			change(x)
			b.SetBytes(size)
			peak(b, true)
			for b.Loop() {
				if _, err := x.run(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(peak(b, false), "peak-MB")
		}
	}
	_, public := identity(b)
	b.Run("floor: pg_dump to nothing", shell(`$DIR/pg_dump -Fc -Z0 -d $SOURCE > /dev/null`))
	b.Run("pipe: pg_dump | zstd -3 -T2", shell(`$DIR/pg_dump -Fc -Z0 -d $SOURCE | zstd -q -3 -T2 > $OUT`))
	b.Run("pipe: pg_dump -j2, zstd of a tar", shell(`$DIR/pg_dump -Fd -j2 -Z0 -f $OUT.d -d $SOURCE && tar -C $OUT.d -c . | zstd -q -3 -T2 > $OUT`))
	b.Run("backup without counts", ours(func(x *bench) { x.options.CountRows = 0 }))
	b.Run("backup", ours(func(*bench) {}))
	b.Run("backup encrypted", ours(func(x *bench) { x.options.EncryptTo = []string{public} }))
	b.Run("backup, jobs 2", ours(func(x *bench) { x.options.Jobs = 2 }))
	b.Run("backup, verified L2", ours(func(x *bench) { x.options.Verify = object.L2 }))
	b.Run("backup, jobs 2, verified L2", ours(func(x *bench) { x.options.Jobs, x.options.Verify = 2, object.L2 }))
}
