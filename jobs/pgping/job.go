package pgping

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

// application is what the server shows its administrator.
const application = "upkeep pgping"

// phaseQuery is the phase of the question whose time counts.
const phaseQuery = "query"

// The kinds of faults that PostgreSQL adds.
const (
	noDatabase = "database"
	tooMany    = "too_many"
	starting   = "starting"
	stopping   = "stopping"
	permission = "permission"
	server     = "server"
)

// probe is the job.
type probe struct {
	options Options
	name    string
	address pg.Address
}

// Check tells whether the server lets us in.
func (p *probe) Check(ctx context.Context, _ *jobs.Env) error {
	ctx, cancel := reach.Deadline(ctx, p.options.Timeout.Std())
	defer cancel()
	conn, err := pg.Connect(ctx, p.address, application)
	if err != nil {
		return fmt.Errorf("database %s: %w", p.name, err)
	}
	return conn.Hangup(ctx)
}

// Run asks the server.
func (p *probe) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	doing := "ask database " + p.name
	if err := reach.Outer(ctx, doing); err != nil {
		return jobs.Result{}, err
	}
	s := &survey{options: p.options, report: reach.NewReport(env, "pgping"), clock: reach.NewClock()}
	inner, cancel := reach.Deadline(ctx, p.options.Timeout.Std())
	defer cancel()
	err := s.ask(inner, p.address)
	if outer := reach.Outer(ctx, doing); outer != nil {
		return jobs.Result{}, outer
	}
	if err != nil {
		fault := s.fault(inner, err)
		if code := pg.Code(err); code != "" {
			s.report.Outputs["error_code"] = code
		}
		s.report.Fault(fmt.Sprintf("database %s at %s", p.name, p.address.Where()), fault)
	}
	s.times()
	return s.report.Result(s.plain(p)), nil
}

// survey is one run on its way.
type survey struct {
	options Options
	report  *reach.Report
	clock   *reach.Clock
	conn    *pg.Conn
	// total is the time that latency judges; zero before it is known.
	total time.Duration
}

// ask puts all questions. Its error says that the server could not be asked.
func (s *survey) ask(ctx context.Context, address pg.Address) (err error) {
	s.conn, err = pg.ConnectTraced(ctx, address, application, s.clock.Begin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.conn.Hangup(ctx)) }()
	s.clock.Begin(phaseQuery)
	var one int
	if err := s.conn.QueryRow(ctx, "SELECT 1 /* "+application+" */").Scan(&one); err != nil {
		return fmt.Errorf("ask SELECT 1: %w", err)
	}
	s.clock.Begin("")
	s.judgeTime()
	s.who()
	return s.look(ctx)
}

// judgeTime judges the way to the first answer. The question who the server is
// stands in between for our own sake and does not count.
func (s *survey) judgeTime() {
	worst := reach.Lap{}
	for _, lap := range s.clock.Laps() {
		if lap.Phase == pg.PhaseLook {
			continue
		}
		s.total += lap.Took
		if lap.Took > worst.Took {
			worst = lap
		}
	}
	s.report.Latency(s.total, s.options.Latency, worst.Phase)
}

// times notes how long each step took.
func (s *survey) times() {
	for _, lap := range s.clock.Laps() {
		if lap.Phase != pg.PhaseLook {
			s.report.Values[lap.Phase+"_seconds"] = reach.Seconds(lap.Took)
		}
	}
}

// fault names why the server could not be asked.
func (s *survey) fault(ctx context.Context, err error) *reach.Fault {
	phase := s.clock.Phase()
	if kind := kindOf(pg.Code(err)); kind != "" {
		// The words of several hosts are one error; the phase would be that of
		// the last.
		return &reach.Fault{Kind: kind, Err: pg.Advise(flat(err))}
	}
	if context.Cause(ctx) != nil {
		return s.clock.Ended(ctx, err, server)
	}
	fallback := server
	if phase == reach.TLS {
		fallback = reach.TLS
	}
	return reach.FaultOf(flat(err), phase, fallback)
}

// flat keeps the words of an error that a driver writes on several lines.
func flat(err error) error {
	if !strings.Contains(err.Error(), "\n") {
		return err
	}
	return &lined{err}
}

// lined is an error of several lines, written as one.
type lined struct{ err error }

func (l *lined) Error() string {
	return strings.Join(strings.Fields(strings.ReplaceAll(l.err.Error(), "\n", "; ")), " ")
}
func (l *lined) Unwrap() error { return l.err }

// kindOf names a SQLSTATE (postgresql.org/docs/current/errcodes-appendix.html);
// empty for none.
func kindOf(code string) string {
	switch code {
	case "":
		return ""
	case "28P01", "28000":
		return reach.Auth
	case "3D000":
		return noDatabase
	case "53300":
		return tooMany
	case "57P03":
		return starting
	case "57P01", "57P02":
		return stopping
	case pg.CodeCanceled:
		return reach.Timeout
	case pg.CodeDenied:
		return permission
	}
	return server
}

// plain is the summary when nothing is wrong.
func (s *survey) plain(p *probe) string {
	if s.conn == nil {
		return "database " + p.name + " was asked"
	}
	role := primary
	if s.conn.Server.Standby {
		role = standby
	}
	text := fmt.Sprintf("%s answered after %s: PostgreSQL %s, %s", p.name, reach.Short(s.total), s.conn.Server.Version, role)
	if n, ok := s.report.Values["connections"]; ok {
		text += fmt.Sprintf(", %.0f of %.0f connections", n, s.report.Values["max_connections"])
	}
	return text
}
