package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// waitPause is the time between two tries of `wait`.
const waitPause = time.Second

// ownValues are the names of values that the kind itself gives.
func ownValues() []string {
	return []string{
		"status", "total_seconds", "dns_seconds", "connect_seconds", "tls_seconds", "first_byte_seconds", "body_bytes", "certificate_days",
		"requests", "errors", "error_percent", "requests_per_second", "items_per_second", "p50_seconds", "p95_seconds", "p99_seconds",
		"max_seconds", "waited_seconds",
	}
}

// report collects what is found.
type report struct {
	env      *jobs.Env
	values   map[string]float64
	findings []jobs.Finding
	// what is what the summary says when all is well.
	what string
}

func (r *report) add(id string, s jobs.Severity, text string) {
	r.findings = append(r.findings, jobs.Finding{ID: jobs.FindingIDFrom(id), Severity: s, Text: r.env.OneLine(text)})
}

func (r *report) result() jobs.Result {
	return jobs.Result{Summary: r.env.OneLine(cmp.Or(jobs.Headline(r.findings), r.what)), Values: r.values, Findings: r.findings}
}

// Run sends the request as often as the options say.
func (j *Job) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("%s: %w", j.title(), err)
	}
	body, err := j.body()
	if err != nil {
		return jobs.Result{}, err
	}
	client, err := j.client()
	if err != nil {
		return jobs.Result{}, err
	}
	defer client.CloseIdleConnections()
	r := &report{env: env, values: map[string]float64{}}
	if j.options.TLS.Insecure {
		r.add("tls:unverified", jobs.Warning, "tls.insecure: whoever answers is believed, and sees what is sent")
	}
	work := func(ctx context.Context) error { return j.work(ctx, r, client, body) }
	if !j.options.changes() {
		return r.finish(work(ctx))
	}
	what := "send " + j.title()
	if n := max(j.options.Repeat.Count, 1) + j.options.Repeat.WarmUp; n > 1 {
		what = fmt.Sprintf("send %s %d times", j.title(), n)
	}
	if env.DryRun() {
		r.what = "would " + what
	}
	err = env.Effect(ctx, env.OneLine(what), func(ctx context.Context) error {
		if err := work(ctx); err != nil {
			return err
		}
		// What was to be changed may not have been: that is no finding.
		if r.worst() == jobs.Critical {
			return errors.New(jobs.Headline(r.findings))
		}
		return nil
	})
	return r.finish(err)
}

func (r *report) finish(err error) (jobs.Result, error) { return r.result(), err }

func (r *report) worst() jobs.Severity { return jobs.Result{Findings: r.findings}.Worst() }

// work is what a run does.
func (j *Job) work(ctx context.Context, r *report, client *http.Client, body []byte) error {
	if j.options.Wait > 0 {
		if err := j.wait(ctx, r, client, body); err != nil {
			return err
		}
	}
	if j.options.Repeat.WarmUp > 0 {
		if _, err := j.volley(ctx, r.env, client, body, j.options.Repeat.WarmUp, "warm-up requests"); err != nil {
			return err
		}
	}
	if j.options.Repeat.many() {
		v, err := j.volley(ctx, r.env, client, body, j.options.Repeat.Count, "requests")
		if err != nil {
			return err
		}
		j.judgeVolley(r, v)
		return nil
	}
	return j.once(ctx, r, client, body)
}

// ask sends one request and judges its answer. The fault is nil for a good one.
func (j *Job) ask(ctx context.Context, env *jobs.Env, client *http.Client, body []byte) (*answer, *fault, error) {
	a, err := j.exchange(ctx, env, client, body)
	if err != nil {
		f, ok := errors.AsType[*fault](err)
		if !ok {
			return nil, nil, err
		}
		return nil, f, nil
	}
	return a, j.expect.judge(a, env.OneLine), nil
}

// once sends a single request.
func (j *Job) once(ctx context.Context, r *report, client *http.Client, body []byte) error {
	a, f, err := j.ask(ctx, r.env, client, body)
	if err != nil {
		return err
	}
	if a != nil {
		r.measured(a)
		j.latency(r, a.times.total, "the answer took")
		r.what = fmt.Sprintf("%s: %d in %s", j.title(), a.status, short(a.times.total))
	}
	if f != nil {
		r.add("http:"+f.kind, jobs.Critical, j.title()+": "+f.text)
		r.env.Printf("%s", r.env.OneLine(j.title()+": "+f.text))
		return nil
	}
	r.env.Printf("%s", r.what)
	return nil
}

// measured keeps what one answer showed.
func (r *report) measured(a *answer) {
	r.values["status"], r.values["body_bytes"] = float64(a.status), float64(len(a.body))
	for name, d := range map[string]time.Duration{
		"dns_seconds": a.times.dns, "connect_seconds": a.times.connect, "tls_seconds": a.times.tls,
		"first_byte_seconds": a.times.firstByte, "total_seconds": a.times.total,
	} {
		if d > 0 {
			r.values[name] = d.Seconds()
		}
	}
	if !a.expires.IsZero() {
		r.values["certificate_days"] = math.Floor(time.Until(a.expires).Hours()/24*100) / 100
	}
	maps.Copy(r.values, a.values)
}

// latency judges a time.
func (j *Job) latency(r *report, took time.Duration, what string) {
	l := j.options.Latency
	switch {
	case l.Crit > 0 && took > l.Crit.Std():
		r.add("http:latency", jobs.Critical, fmt.Sprintf("%s: %s %s, limit %s", j.title(), what, short(took), l.Crit))
	case l.Warn > 0 && took > l.Warn.Std():
		r.add("http:latency", jobs.Warning, fmt.Sprintf("%s: %s %s, limit %s", j.title(), what, short(took), l.Warn))
	}
}

func short(d time.Duration) string {
	return unit.Duration(d.Round(max(100*time.Microsecond, d/1000).Truncate(100 * time.Microsecond))).String()
}

// wait tries until an answer is good or the time is over; then the requests
// that follow show what is wrong.
func (j *Job) wait(ctx context.Context, r *report, client *http.Client, body []byte) error {
	began, said := time.Now(), ""
	for {
		_, f, err := j.ask(ctx, r.env, client, body)
		if err != nil {
			return err
		}
		waited := time.Since(began)
		r.values["waited_seconds"] = waited.Seconds()
		if f == nil || waited+waitPause > j.options.Wait.Std() {
			return nil
		}
		if f.kind != said {
			said = f.kind
			r.env.Printf("%s", r.env.OneLine("waiting: "+f.text))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", j.title(), context.Cause(ctx))
		case <-time.After(waitPause):
		}
	}
}
