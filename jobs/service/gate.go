package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

const (
	// probeTime bounds one probe that says no bound of its own.
	probeTime = 10 * time.Second
	// mostBody bounds what is read of an answer.
	mostBody = 64 << 10
)

// unwellError says that a unit did not stay well.
type unwellError struct {
	unit, why string
	within    time.Duration
	gone      bool
	restarts  uint64
}

func (e *unwellError) Error() string {
	text := fmt.Sprintf("%s was not well within %s: %s", e.unit, e.within, e.why)
	if e.gone {
		text = fmt.Sprintf("%s is not well: %s", e.unit, e.why)
	}
	if e.restarts > 0 {
		text += fmt.Sprintf("; systemd restarted it %d times meanwhile", e.restarts)
	}
	return text
}

// Hint says what a person can do.
func (e *unwellError) Hint() string {
	return "see systemctl status " + e.unit + "; the end of its journal is in the output"
}

// await waits until the unit has been well for long enough.
func (s *service) await(ctx context.Context, env *jobs.Env, c control, name string) error {
	v := s.options.Verify
	late := errors.New("the time is over")
	within, cancel := context.WithTimeoutCause(ctx, v.Within.Std(), late)
	defer cancel()
	w := watch{service: s, env: env, control: c, unit: name}
	tick := time.NewTicker(v.Every.Std())
	defer tick.Stop()
	for {
		well, gone := w.look(within)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("verify %s: %w", name, context.Cause(ctx))
		case well:
			env.Printf("%s is well: %s", name, w.last)
			return nil
		case gone:
			return &unwellError{unit: name, why: w.why, gone: true, restarts: w.restarts()}
		}
		select {
		case <-tick.C:
		case <-within.Done():
			if ctx.Err() == nil {
				return &unwellError{unit: name, why: w.why, within: v.Within.Std(), restarts: w.restarts()}
			}
		}
	}
}

// watch is what was seen of a unit since it was done.
type watch struct {
	service *service
	env     *jobs.Env
	control control
	unit    string

	first, last state
	// since is when it began to be well, zero while it is not; why says why not.
	since time.Time
	why   string
}

func (w *watch) restarts() uint64 { return w.last.Restarts - min(w.last.Restarts, w.first.Restarts) }

// look looks once. It tells whether the unit has been well for long enough, and
// whether it never will be.
func (w *watch) look(ctx context.Context) (well, gone bool) {
	now, err := w.control.State(ctx, w.unit)
	if err != nil {
		w.unwell(ctx, err.Error())
		return false, false
	}
	if w.first.ID == "" {
		w.first, w.last = now, now
	}
	before := w.last
	w.last = now
	why, gone := now.well(w.service.verb)
	switch {
	case why != "":
		w.unwell(ctx, why)
		return false, gone
	case !now.same(before):
		w.unwell(ctx, "it was started anew")
		return false, false
	}
	if why := w.service.probe(ctx, w.env); why != "" {
		w.unwell(ctx, why)
		return false, false
	}
	if w.since.IsZero() {
		w.since = time.Now()
	}
	if time.Since(w.since) >= w.service.options.Verify.Stable.Std() {
		return true, false
	}
	w.why = "it has not been well for long enough"
	return false, false
}

// unwell notes why the unit is not well. A look that was cut short says less
// than the one before.
func (w *watch) unwell(ctx context.Context, why string) {
	if ctx.Err() != nil && w.why != "" {
		return
	}
	w.since, w.why = time.Time{}, w.env.OneLine(why)
}

// probe asks all probes once and returns why one of them failed, or "".
func (s *service) probe(ctx context.Context, env *jobs.Env) string {
	v := s.options.Verify
	for _, p := range []struct {
		name  string
		given bool
		do    func(context.Context) error
	}{
		{"check " + v.Check, v.Check != "", func(ctx context.Context) error { return s.probeCheck(ctx, env) }},
		{"GET " + v.HTTP, v.HTTP != "", s.probeHTTP},
		{"connect to " + v.TCP, v.TCP != "", s.probeTCP},
		{"the program", len(v.Run) > 0, func(ctx context.Context) error { return s.probeRun(ctx, env) }},
	} {
		if !p.given {
			continue
		}
		one, cancel := context.WithTimeoutCause(ctx, probeTime, fmt.Errorf("no answer within %s", probeTime))
		err := p.do(one)
		cancel()
		if err != nil {
			return p.name + ": " + err.Error()
		}
	}
	return ""
}

// probeCheck runs the configured check, in a world of its own.
func (s *service) probeCheck(ctx context.Context, env *jobs.Env) error {
	c, err := s.deps.Check(s.options.Verify.Check)
	if err != nil {
		return err //nolint:wrapcheck // it names the check
	}
	if c.Timeout > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("no answer within %s", c.Timeout))
		defer cancel()
	}
	own := *env
	own.Out = io.Discard
	r, err := c.Probe.Run(ctx, jobs.NewEnv(own, jobs.Hooks{Scrub: env.Scrub}))
	if err != nil {
		return err //nolint:wrapcheck // it names what failed
	}
	if i := slices.IndexFunc(r.Findings, func(f jobs.Finding) bool { return f.Severity == jobs.Critical }); i >= 0 {
		return errors.New(r.Findings[i].Text)
	}
	return nil
}

func (s *service) probeHTTP(ctx context.Context) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.options.Verify.HTTP, http.NoBody)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("User-Agent", "upkeep")
	// A connection of its own each time: an old one says nothing about a new process.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return err //nolint:wrapcheck // it names the URL
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, mostBody)); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}

func (s *service) probeTCP(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.options.Verify.TCP)
	if err != nil {
		return err //nolint:wrapcheck // it names the address
	}
	return conn.Close()
}

func (s *service) probeRun(ctx context.Context, env *jobs.Env) error {
	said := &tail{}
	err := s.program(ctx, env, s.options.Verify.Run, said)
	if line := lastLine(env.Scrub(said.buf.String())); err != nil && line != "" {
		return fmt.Errorf("%w: %s", err, env.OneLine(line))
	}
	return err
}

// program runs a program of the user's.
func (s *service) program(ctx context.Context, env *jobs.Env, argv []string, out io.Writer) error {
	_, err := child.Run(ctx, child.Command{
		Argv: argv, Dir: env.Root, Env: env.Environ(), Stdout: out, Stderr: out, Grace: env.KillGrace, Marks: env.Marks(),
	})
	return err //nolint:wrapcheck // it names the program
}
