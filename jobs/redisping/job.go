package redisping

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
	"github.com/ghosteam/upkeep/jobs/internal/redis"
)

const (
	// pings is how many are sent; the median is judged, so that one pause is no
	// warning.
	pings = 3
	// pastRuns is how many earlier runs are looked at for counters.
	pastRuns = 10
)

// The kinds of faults that Redis adds.
const (
	loading = "loading"
	tooMany = "too_many"
	server  = "server"
)

// probe is the job.
type probe struct {
	options Options
	name    string
	address redis.Address
	history jobs.History
	known   *memory
}

// Check tells whether the server lets us in.
func (p *probe) Check(ctx context.Context, _ *jobs.Env) error {
	ctx, cancel := reach.Deadline(ctx, p.options.Timeout.Std())
	defer cancel()
	conn, err := redis.Connect(ctx, p.address)
	if err != nil {
		return fmt.Errorf("database %s: %w", p.name, err)
	}
	return conn.Close()
}

// Run asks the server.
func (p *probe) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	doing := "ask database " + p.name
	if err := reach.Outer(ctx, doing); err != nil {
		return jobs.Result{}, err
	}
	var past []jobs.Past
	if p.history != nil {
		var err error
		if past, err = p.history.Past(ctx, pastRuns); err != nil {
			return jobs.Result{}, fmt.Errorf("read earlier counters: %w", err)
		}
	}
	s := &survey{options: p.options, report: reach.NewReport(env, "redisping"), clock: reach.NewClock()}
	inner, cancel := reach.Deadline(ctx, p.options.Timeout.Std())
	defer cancel()
	err := s.ask(inner, p.address)
	if outer := reach.Outer(ctx, doing); outer != nil {
		return jobs.Result{}, outer
	}
	s.report.Clock(s.clock)
	if err != nil {
		s.report.Fault(fmt.Sprintf("database %s at %s", p.name, p.address.Where()), s.fault(inner, err))
		return s.report.Result(""), nil
	}
	return p.finish(s, past)
}

// finish judges what a server that answers says of itself.
func (p *probe) finish(s *survey, past []jobs.Past) (jobs.Result, error) {
	s.judge()
	now := s.counters(p.address.Where())
	before, ok := fromPast(past)
	if p.history == nil {
		before, ok = p.known.swap(p.name+" "+p.address.Where(), now)
	}
	s.compare(now, before, ok)
	text, err := json.Marshal(now)
	if err != nil {
		return jobs.Result{}, fmt.Errorf("write the counters: %w", err)
	}
	s.report.Outputs[outputCounters] = string(text)
	plain := fmt.Sprintf("%s answers a PING in %s: Redis %s, %s, %s of memory, %.0f clients",
		p.name, reach.Short(s.ping), s.info["redis_version"], s.role(), humanize.IBytes(uint64(max(0, s.report.Values["used_memory_bytes"]))), s.report.Values["clients"])
	return s.report.Result(plain), nil
}

// survey is one run on its way.
type survey struct {
	options Options
	report  *reach.Report
	clock   *reach.Clock
	info    info
	// ping is the median PING.
	ping time.Duration
}

// ask puts all questions. Its error says that the server could not be asked.
func (s *survey) ask(ctx context.Context, address redis.Address) (err error) {
	conn, err := redis.ConnectTimed(ctx, address, s.clock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	all, err := conn.Info(ctx)
	if err != nil {
		return err
	}
	s.info = all
	if s.info["loading"] == "1" {
		return &reach.Fault{Kind: loading, Err: fmt.Errorf("the server reads its data, %s %% so far, %s s to go", s.info.or("loading_loaded_perc", "?"), s.info.or("loading_eta_seconds", "?"))}
	}
	took := make([]time.Duration, pings)
	for i := range took {
		start := time.Now()
		if err := conn.Ping(ctx); err != nil {
			return err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	s.ping = took[pings/2]
	return nil
}

// fault names why the server could not be asked.
func (s *survey) fault(ctx context.Context, err error) *reach.Fault {
	kind := ""
	switch code := redis.Code(err); code {
	case "":
	case "WRONGPASS", "NOAUTH", "NOPERM", "DENIED":
		kind = reach.Auth
	case "LOADING":
		kind = loading
	case redis.CodeClients:
		kind = tooMany
	default:
		kind = server
	}
	if kind != "" {
		return &reach.Fault{Kind: kind, Err: err}
	}
	return s.clock.Ended(ctx, err, server)
}
