// Package scrape reads the metrics that applications expose in the text form of
// Prometheus, and records of them what figures need: by how much counters and
// the buckets of histograms grew in each minute, and what else was asked for.
//
// It knows how to fetch, to read and to count. It judges nothing, keeps nothing
// but the state between two readings, and refuses what has no bound: bodies of
// more than a few megabytes, and more series than a ledger should hold.
//
// The series of a target NAME are
//
//	scrape.NAME.up                    1 when it answered, 0 when not
//	scrape.NAME.seconds               how long the answer took
//	scrape.NAME.COUNTER               how much it grew in a minute, all labels together
//	scrape.NAME.COUNTER.errors        the same of the labels that mean errors
//	scrape.NAME.HISTOGRAM.le_BOUND    how many observations of a minute were at most BOUND; le_inf is all
//	scrape.NAME.METRIC.LABEL_VALUE…   what is kept besides, with each combination of labels
//
// A sample of a minute stands at its beginning.
package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

const (
	// mostBytes bounds an answer.
	mostBytes = 8 << 20
	// MostSeries bounds the series of one target.
	MostSeries = 2000
	// look is how often somebody looks what is due, idle how often when there is
	// nothing to read.
	look, idle = time.Second, 15 * time.Second
	// accepts is the form that is asked for.
	accepts = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
)

// Target is an application whose metrics are read.
type Target struct {
	// Name is part of the names of its series.
	Name string
	// URL is where the metrics are; Token, if any, is shown as a bearer token.
	URL, Token secret.String
	// Every is how often they are read, Timeout how long that may take.
	Every, Timeout time.Duration
	// Histograms and Counters are the names of the metrics whose labels are
	// added up. Of the counters, the series of which a label matches one of
	// Errors, as LABEL=PATTERN (path.Match), are counted apart too.
	Histograms, Counters, Errors []string
	// Keep are patterns of the names of metrics that are kept with their labels.
	Keep []string
}

// Options configure a Scraper. All but Log is required.
type Options struct {
	Sampler runner.Sampler
	// Targets returns those of the configuration in force.
	Targets func() []Target
	Log     *slog.Logger
}

// Scraper reads targets on their intervals.
type Scraper struct {
	o      Options
	client *http.Client
	mu     sync.Mutex
	state  map[string]*state
	going  sync.WaitGroup
}

// state is what is known of a target between two readings. Only the goroutine
// that reads it changes it, and busy says whether there is one.
type state struct {
	target Target
	tally  *tally
	next   time.Time
	busy   bool
	failed bool
}

// New makes a scraper.
func New(o Options) *Scraper {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Scraper{o: o, state: map[string]*state{}, client: &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * time.Minute, ResponseHeaderTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Run reads the targets until ctx ends.
func (s *Scraper) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer s.going.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		targets := s.o.Targets()
		s.start(ctx, targets, time.Now())
		if len(targets) == 0 {
			timer.Reset(idle)
			continue
		}
		timer.Reset(look)
	}
}

// start begins the readings that are due, forgets targets that are gone, and
// begins anew with those that changed.
func (s *Scraper) start(ctx context.Context, targets []Target, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	present := map[string]bool{}
	for _, t := range targets {
		present[t.Name] = true
		st := s.state[t.Name]
		if st == nil || !st.busy && !reflect.DeepEqual(st.target, t) {
			st = &state{target: t, tally: newTally(t), next: now}
			s.state[t.Name] = st
		}
		if st.busy || now.Before(st.next) {
			continue
		}
		st.busy, st.next = true, now.Truncate(t.Every).Add(t.Every)
		s.going.Go(func() {
			s.read(ctx, st)
			s.mu.Lock()
			defer s.mu.Unlock()
			st.busy = false
		})
	}
	for name, st := range s.state {
		if !present[name] && !st.busy {
			delete(s.state, name)
		}
	}
}

// read reads a target once and records what that tells.
func (s *Scraper) read(ctx context.Context, st *state) {
	began := time.Now()
	body, err := s.fetch(ctx, st.target)
	if err == nil {
		err = st.tally.take(body, began)
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil && !st.failed {
		s.o.Log.WarnContext(ctx, "the metrics of an application cannot be read", "scrape", st.target.Name, "error", err)
	} else if err == nil && st.failed {
		s.o.Log.InfoContext(ctx, "the metrics of an application can be read again", "scrape", st.target.Name)
	}
	st.failed = err != nil
	up := 1.0
	if err != nil {
		up = 0
	}
	prefix := prefixOf(st.target)
	samples := append(st.tally.settled(began),
		runner.Sample{Series: prefix + "up", At: began, Value: up},
		runner.Sample{Series: prefix + "seconds", At: began, Value: time.Since(began).Seconds()})
	if refused, first := st.tally.refusals(); refused > 0 {
		samples = append(samples, runner.Sample{Series: prefix + "refused", At: began, Value: float64(refused)})
		if first {
			s.o.Log.WarnContext(ctx, "an application has more series than are kept: the others are left out", "scrape", st.target.Name, "kept", MostSeries, "left_out", refused)
		}
	}
	if err := s.o.Sampler.Observe(ctx, samples...); err != nil && ctx.Err() == nil {
		s.o.Log.WarnContext(ctx, "record what an application exposes", "scrape", st.target.Name, "error", err)
	}
}

// fetch gets the text of a target. Its errors do not repeat the address, which
// may hold a secret.
func (s *Scraper) fetch(ctx context.Context, t Target) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, t.Timeout, fmt.Errorf("no answer within %s", t.Timeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL.Reveal(), http.NoBody)
	if err != nil {
		return nil, errors.New("the address is no URL")
	}
	request.Header.Set("Accept", accepts)
	if !t.Token.IsEmpty() {
		request.Header.Set("Authorization", "Bearer "+t.Token.Reveal())
	}
	response, err := s.client.Do(request)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("ask for the metrics: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for the metrics: the answer is %s", jobs.OneLine(response.Status))
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, mostBytes+1))
	switch {
	case err != nil && context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("read the metrics: %w", err)
	case len(body) > mostBytes:
		return nil, fmt.Errorf("read the metrics: the answer is larger than %d bytes", mostBytes)
	}
	return body, nil
}
