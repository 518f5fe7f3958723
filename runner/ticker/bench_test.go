package ticker_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/runner/ticker"
)

// forgetful answers like a ledger and keeps nothing but cursors, so that what
// is measured is the ticker.
type forgetful struct {
	*fakeLedger
	requests int
}

func (f *forgetful) Decide(_ context.Context, decided ...runner.Decided) ([]runner.Submission, error) {
	var out []runner.Submission
	for _, d := range decided {
		for range d.Requests {
			out = append(out, runner.Submission{Run: "r", State: runner.Queued})
		}
	}
	f.requests += len(out)
	return out, nil
}

func many(b *testing.B, n int) []ticker.Workflow {
	b.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	out := make([]ticker.Workflow, n)
	for i := range out {
		out[i] = workflow(fmt.Sprintf("workflow-%05d", i), parse(b, schedule.Rule{Daily: fmt.Sprintf("%02d:%02d", i%24, i%60), Zone: zone}))
		out[i].FreshWithin = 26 * time.Hour
		out[i].Jitter = 5 * time.Minute
	}
	return out
}

func begin(b *testing.B, o ticker.Options) running {
	b.Helper()
	tick := start(b, o)
	for !tick.Status().Ready {
		time.Sleep(100 * time.Microsecond)
	}
	return tick
}

// BenchmarkTicker_Start is the time from New until 10,000 calendars are ready.
func BenchmarkTicker_Start(b *testing.B) {
	workflows := many(b, 10_000)
	var before, after runtime.MemStats
	for b.Loop() {
		l := &forgetful{fakeLedger: newLedger()}
		o := options(l.fakeLedger, workflows...)
		o.Ledger, o.Stale = l, func(context.Context, ticker.Workflow, time.Time) error { return nil }
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		tick := begin(b, o)
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		tick.end()
		b.StartTimer()
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
}

// BenchmarkTicker_Sweep is one sweep over 10,000 idle calendars.
func BenchmarkTicker_Sweep(b *testing.B) {
	l := &forgetful{fakeLedger: newLedger()}
	o := options(l.fakeLedger, many(b, 10_000)...)
	o.Ledger, o.Stale = l, func(context.Context, ticker.Workflow, time.Time) error { return nil }
	tick := begin(b, o)
	b.ReportAllocs()
	for b.Loop() {
		if err := tick.Sweep(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTicker_Due1000 decides and delivers 1,000 slots of one second,
// beside 9,000 idle calendars.
func BenchmarkTicker_Due1000(b *testing.B) {
	l, clock := &forgetful{fakeLedger: newLedger()}, &wall{}
	workflows := many(b, 9_000)
	for i := range 1000 {
		workflows = append(workflows, workflow(fmt.Sprint("due-", i), every(b, time.Hour)))
	}
	o := options(l.fakeLedger, workflows...)
	o.Ledger = l
	o.Follow(clock.Now)
	tick := begin(b, o)
	l.requests = 0
	rounds := 0
	b.ReportAllocs()
	for b.Loop() {
		clock.jump(time.Hour)
		if err := tick.Sweep(b.Context()); err != nil {
			b.Fatal(err)
		}
		rounds++
	}
	if l.requests < 1000*rounds {
		b.Fatalf("%d requests in %d rounds", l.requests, rounds)
	}
}
