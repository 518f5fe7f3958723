package http

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// volley is what many requests gave.
type volley struct {
	mu     sync.Mutex
	took   []time.Duration // of good answers
	failed map[string]int  // by kind of trouble
	first  map[string]string
	last   *answer
	err    error

	duration time.Duration
}

// progressEvery is how many requests pass between two progress reports.
const progressEvery = 50

// volley sends n requests by as many clients as the options say. Its error
// wraps the cause of ctx.
func (j *Job) volley(ctx context.Context, env *jobs.Env, client *http.Client, body []byte, n int, unit string) (*volley, error) {
	v := &volley{failed: map[string]int{}, first: map[string]string{}}
	tickets := make(chan int, n)
	for i := range n {
		tickets <- i + 1
	}
	close(tickets)
	began := time.Now()
	var wg sync.WaitGroup
	for range min(j.options.Repeat.Concurrency, n) {
		wg.Go(func() {
			for i := range tickets {
				a, f, err := j.ask(ctx, env, client, body)
				if v.note(a, f, err) != nil {
					return
				}
				if i%progressEvery == 0 || i == n {
					env.Progress(int64(i), int64(n), unit)
				}
			}
		})
	}
	wg.Wait()
	v.duration = time.Since(began)
	if v.err != nil {
		return nil, v.err
	}
	env.Printf("%d %s in %s, %d failed", n, unit, short(v.duration), v.errors())
	return v, nil
}

func (v *volley) note(a *answer, f *fault, err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err != nil:
		v.err = err
	case f != nil:
		if v.failed[f.kind]++; v.first[f.kind] == "" {
			v.first[f.kind] = f.text
		}
	default:
		v.took, v.last = append(v.took, a.times.total), a
	}
	return v.err
}

func (v *volley) errors() (n int) {
	for _, some := range v.failed {
		n += some
	}
	return n
}

// percentile is the time within which the share of the good answers came
// (nearest rank); took is sorted and not empty.
func percentile(took []time.Duration, share float64) time.Duration {
	return took[max(int(math.Ceil(share*float64(len(took))))-1, 0)]
}

// judgeVolley measures and judges many answers.
func (j *Job) judgeVolley(r *report, v *volley) {
	bad, good := v.errors(), len(v.took)
	rate := float64(good) / v.duration.Seconds()
	if v.last != nil {
		r.measured(v.last)
		for _, name := range []string{"total_seconds", "dns_seconds", "connect_seconds", "tls_seconds", "first_byte_seconds"} {
			delete(r.values, name) // those of one request of many say nothing
		}
	}
	r.values["requests"], r.values["errors"] = float64(bad+good), float64(bad)
	r.values["error_percent"] = 100 * float64(bad) / float64(bad+good)
	r.values["requests_per_second"] = rate
	if j.options.Repeat.Items > 0 {
		r.values["items_per_second"] = rate * float64(j.options.Repeat.Items)
	}
	severity := jobs.Warning
	if r.values["error_percent"] > float64(j.options.Repeat.MaxErrors) {
		severity = jobs.Critical
	}
	for _, kind := range slices.Sorted(maps.Keys(v.failed)) {
		r.add("http:"+kind, severity, fmt.Sprintf("%s: %d of %d requests: %s", j.title(), v.failed[kind], bad+good, v.first[kind]))
	}
	if good > 0 {
		slices.Sort(v.took)
		p95 := percentile(v.took, 0.95)
		r.values["p50_seconds"], r.values["p95_seconds"] = percentile(v.took, 0.5).Seconds(), p95.Seconds()
		r.values["p99_seconds"], r.values["max_seconds"] = percentile(v.took, 0.99).Seconds(), v.took[good-1].Seconds()
		j.latency(r, p95, "95 % of the answers took up to")
		r.what = fmt.Sprintf("%s: %d requests, %.1f in a second, 95 %% within %s", j.title(), good, rate, short(p95))
	}
	if limit := j.options.Repeat.MinRate; rate < limit {
		r.add("http:rate", jobs.Warning, fmt.Sprintf("%s: %.1f good answers in a second, limit %g", j.title(), rate, limit))
	}
}
