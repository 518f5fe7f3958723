package ledger_test

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// benchRows is how many runs the ledger of a benchmark holds: a million when
// UPKEEP_BENCH_ROWS says so, else what takes seconds.
func benchRows(b *testing.B) int {
	b.Helper()
	text := os.Getenv("UPKEEP_BENCH_ROWS")
	if text == "" {
		return 100_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 10_000 {
		b.Fatalf("UPKEEP_BENCH_ROWS=%s: want a number from 10000", text)
	}
	return n
}

// dialects are the databases of the benchmarks.
func dialects() map[string]func(testing.TB) secret.String {
	return map[string]func(testing.TB) secret.String{"sqlite": ledgertest.SQLite, "postgres": ledgertest.Postgres}
}

// BenchmarkRead reads from a full ledger; median and 99th percentile are in
// milliseconds.
func BenchmarkRead(b *testing.B) {
	for name, dsn := range dialects() {
		b.Run(name, func(b *testing.B) {
			n := benchRows(b)
			l := ledgertest.Open(b, dsn(b), nil)
			began := time.Now()
			fill(b, l, n)
			b.Logf("%d runs recorded in %s", n, time.Since(began).Round(time.Millisecond))
			for _, q := range questions(b, l, n) {
				b.Run(q.name, func(b *testing.B) {
					var each []time.Duration
					for b.Loop() {
						began := time.Now()
						if rows := q.ask(b, l); rows < q.want {
							b.Fatalf("%d rows, want %d", rows, q.want)
						}
						each = append(each, time.Since(began))
					}
					slices.Sort(each)
					b.ReportMetric(float64(each[len(each)/2].Microseconds())/1000, "p50-ms")
					b.ReportMetric(float64(each[len(each)*99/100].Microseconds())/1000, "p99-ms")
				})
			}
		})
	}
}

// BenchmarkRun records runs of one job: submit, claim, begin, end.
func BenchmarkRun(b *testing.B) {
	for name, dsn := range dialects() {
		b.Run(name, func(b *testing.B) {
			l := ledgertest.Open(b, dsn(b), func(o *ledger.Options) { o.Exclusive = true })
			if err := l.Register(b.Context()); err != nil {
				b.Fatal(err)
			}
			slot := ledgertest.Midnight()
			cpu := processTime(b)
			for b.Loop() {
				slot = slot.Add(time.Minute)
				oneRun(b, l, slot)
			}
			b.ReportMetric(float64((processTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// BenchmarkSubmit200 records 200 due slots at once, and submits them again.
func BenchmarkSubmit200(b *testing.B) {
	for name, dsn := range dialects() {
		b.Run(name, func(b *testing.B) {
			l := ledgertest.Open(b, dsn(b), nil)
			slot := ledgertest.Midnight()
			for b.Loop() {
				requests := make([]runner.Request, 200)
				for i := range requests {
					slot = slot.Add(time.Minute)
					requests[i] = ledgertest.Request("w", slot)
				}
				for range 2 {
					if _, err := l.Submit(b.Context(), requests...); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkDecide1000 decides one slot of each of 1,000 workflows at once.
func BenchmarkDecide1000(b *testing.B) {
	for name, dsn := range dialects() {
		b.Run(name, func(b *testing.B) {
			l := ledgertest.Open(b, dsn(b), nil)
			slot := ledgertest.Midnight()
			for b.Loop() {
				slot = slot.Add(time.Minute)
				list := make([]runner.Decided, 1000)
				for i := range list {
					name := "w-" + strconv.Itoa(i)
					r := ledgertest.Request(name, slot)
					r.Spec.Text += "# " + name + "\n"
					r.Overlap = runner.OverlapSkip
					list[i] = runner.Decided{
						Cursor:   runner.Cursor{CalendarKey: runner.CalendarKey{Workflow: name}, Schedule: "every: 1m", Through: slot},
						Requests: []runner.Request{r},
					}
				}
				if _, err := l.Decide(b.Context(), list...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPrune deletes half of a full ledger.
func BenchmarkPrune(b *testing.B) {
	for name, dsn := range dialects() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				n := benchRows(b)
				l := ledgertest.Open(b, dsn(b), nil)
				fill(b, l, n)
				span := time.Duration(n) * 30 * time.Second
				b.StartTimer()
				r := runner.Retention{Now: fillStart().Add(span), Others: runner.History{Keep: span / 2, Runs: n}, DryRun: true}
				began := time.Now()
				if _, err := l.PruneRuns(b.Context(), r); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(began).Milliseconds()), "dry-ms")
				r.DryRun = false
				pruned, err := l.PruneRuns(b.Context(), r)
				if err != nil || pruned.Total() < n/3 {
					b.Fatalf("%d of %d runs went, %v", pruned.Total(), n, err)
				}
				again := time.Now()
				if _, err := l.PruneRuns(b.Context(), r); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(again).Milliseconds()), "idle-ms")
				b.ReportMetric(float64(pruned.Total()), "runs/op")
			}
		})
	}
}

// BenchmarkOpen opens and closes a ledger that exists.
func BenchmarkOpen(b *testing.B) {
	for name, fresh := range dialects() {
		b.Run(name, func(b *testing.B) {
			o := ledger.Options{DSN: fresh(b), Exclusive: true}
			for b.Loop() {
				l, err := ledger.Open(b.Context(), o)
				if err != nil {
					b.Fatal(err)
				}
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
