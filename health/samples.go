package health

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// flushEvery is how long samples wait for others, so that many become one
	// transaction.
	flushEvery = 10 * time.Second
	// flushWithin bounds the last transaction of a process.
	flushWithin = 5 * time.Second
	// mostSamples bounds what waits while the ledger takes nothing.
	mostSamples = 20_000
	// mostValues is how many values of one check are kept.
	mostValues = 40
)

// seriesBad keeps the answers that were not healthy, by their rank and ten times
// the place of their kind of error: after a restart they say how many in a row
// there were, and why.
const seriesBad = "bad"

// Series returns the name of the series of a check: "up", "seconds", "bad" or the
// name of a value.
func Series(check, what string) string { return "check." + check + "." + what }

// samplesOf are the samples of an answer.
func samplesOf(check string, o Outcome) []runner.Sample {
	if o.Void {
		return nil
	}
	at := o.At.UTC()
	var list []runner.Sample
	if o.Health != runner.HealthUnknown {
		up := 1.0
		if o.Down {
			up = 0
		}
		list = append(list, runner.Sample{Series: Series(check, "up"), At: at, Value: up})
	}
	if o.Health != runner.Healthy {
		list = append(list, runner.Sample{Series: Series(check, seriesBad), At: at, Value: badValue(o)})
	}
	if o.Took > 0 {
		list = append(list, runner.Sample{Series: Series(check, "seconds"), At: at, Value: o.Took.Seconds()})
	}
	most := len(list) + mostValues
	for _, name := range slices.Sorted(maps.Keys(o.Values)) {
		value, series := o.Values[name], Series(check, name)
		if math.IsNaN(value) || math.IsInf(value, 0) || !jobs.ValidSeries(series) || slices.Contains(ownSeries(), name) {
			continue
		}
		if list = append(list, runner.Sample{Series: series, At: at, Value: value}); len(list) >= most {
			break
		}
	}
	return list
}

// ownSeries are the series of a check that are none of its values.
func ownSeries() []string { return []string{"up", "seconds", seriesBad} }

// batch gathers samples, so that the ledger is written to seldom.
type batch struct {
	to  runner.Sampler
	log *slog.Logger

	mu      sync.Mutex
	list    []runner.Sample
	refused bool
	// filled rings when there is something after nothing.
	filled chan struct{}
}

func newBatch(to runner.Sampler, log *slog.Logger) *batch {
	return &batch{to: to, log: log, filled: make(chan struct{}, 1)}
}

// add takes samples; of too many the oldest go.
func (b *batch) add(samples ...runner.Sample) {
	if len(samples) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, samples...)
	if excess := len(b.list) - mostSamples; excess > 0 {
		b.list = slices.Delete(b.list, 0, excess)
	}
	select {
	case b.filled <- struct{}{}:
	default:
	}
}

// run records until ctx ends, and then what is left.
func (b *batch) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
		case <-b.filled:
			timer := time.NewTimer(flushEvery)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
		}
		if ctx.Err() != nil {
			last, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), flushWithin, errStopped)
			b.flush(last)
			cancel()
			return
		}
		b.flush(ctx)
	}
}

// flush records what there is. What the ledger cannot take now is kept.
func (b *batch) flush(ctx context.Context) {
	b.mu.Lock()
	list := b.list
	b.list = nil
	b.mu.Unlock()
	if len(list) == 0 {
		return
	}
	err := b.to.Observe(ctx, list...)
	if _, refused := errors.AsType[*jobs.RefusedError](err); refused {
		err = b.flushEach(ctx, list)
	}
	if err == nil {
		return
	}
	b.log.WarnContext(ctx, "record what the checks measured; it is tried again", "samples", len(list), "error", err)
	b.mu.Lock()
	b.list = append(list, b.list...)
	b.mu.Unlock()
	b.add(list[len(list)-1]) // the same sample once more changes nothing, and it bounds and rings
}

// flushEach records samples check by check, because the ledger takes no new
// series: only the check that brings one loses its samples.
func (b *batch) flushEach(ctx context.Context, list []runner.Sample) error {
	byCheck := map[string][]runner.Sample{}
	for _, s := range list {
		parts := strings.SplitN(s.Series, ".", 3)
		byCheck[parts[1]] = append(byCheck[parts[1]], s)
	}
	for _, check := range slices.Sorted(maps.Keys(byCheck)) {
		err := b.to.Observe(ctx, byCheck[check]...)
		if _, refused := errors.AsType[*jobs.RefusedError](err); refused {
			if !b.refused {
				b.log.WarnContext(ctx, "what a check measured is not recorded", "check", check, "error", err)
			}
			b.refused = true
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
