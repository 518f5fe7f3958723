package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// service is the job.
type service struct {
	options Options
	verb    verb
	units   []string
	deps    jobs.Deps
	history jobs.History
	// own tells the unit in which upkeep runs, or "".
	own func() (string, error)
	// dial connects to the D-Bus at an address, or to that of the system.
	dial func(ctx context.Context, address string) (control, error)
}

var (
	_ jobs.Checker   = (*service)(nil)
	_ jobs.Exclusive = (*service)(nil)
	_ jobs.Survivor  = (*service)(nil)
)

// LockKeys keeps two jobs from touching the same unit.
func (s *service) LockKeys() []string {
	keys := make([]string, len(s.units))
	for i, unit := range s.units {
		keys[i] = "service/" + unit
	}
	return keys
}

// connect finds a way to speak with systemd.
func (s *service) connect(ctx context.Context, env *jobs.Env) (control, error) {
	fallback := &systemctl{env: env, argv: s.options.Systemctl}
	if len(fallback.argv) > 0 {
		return fallback, nil
	}
	b, err := s.dial(ctx, s.options.Bus)
	if err == nil {
		return b, nil
	}
	if ctx.Err() != nil || s.options.Bus != "" {
		return nil, err
	}
	fallback.argv = []string{"systemctl"}
	if _, missing := child.LookPath(fallback.argv[0], env.Environ(), env.Root); missing != nil {
		return nil, jobs.WithHint(errors.Join(err, missing), needsSystemd)
	}
	env.Log.Debug("there is no D-Bus with systemd; using systemctl", "error", err)
	return fallback, nil
}

// Check makes sure that systemd answers and knows the units.
func (s *service) Check(ctx context.Context, env *jobs.Env) error {
	c, err := s.connect(ctx, env)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = s.look(ctx, c)
	return err
}

// target is one unit of the job.
type target struct {
	name string
	// before is its state when the job began.
	before state
	// own tells that upkeep runs in it, or in one that goes down with it.
	own bool
}

// look finds out about all units before the first is touched.
func (s *service) look(ctx context.Context, c control) ([]target, error) {
	own, err := s.own()
	if err != nil {
		return nil, err
	}
	var units []target
	var errs []error
	for _, name := range s.units {
		st, err := c.State(ctx, name)
		if err != nil {
			return nil, err
		}
		u := target{name: name, before: st}
		u.own = own != "" && (st.ID == own || name == own || slices.Contains(st.Dependents, own))
		errs = append(errs, s.judgeUnit(u))
		if slices.ContainsFunc(units, func(o target) bool { return o.before.ID == st.ID }) {
			errs = append(errs, fmt.Errorf("%s is %s, which is named already", name, st.ID))
		}
		units = append(units, u)
	}
	slices.SortStableFunc(units, func(a, b target) int { // what ends upkeep comes last
		switch {
		case a.own && !b.own:
			return 1
		case b.own && !a.own:
			return -1
		}
		return 0
	})
	return units, errors.Join(errs...)
}

// judgeUnit tells why nothing can or must be done with a unit.
func (s *service) judgeUnit(u target) error {
	st := u.before
	switch {
	case st.Load == "not-found":
		return jobs.WithHint(fmt.Errorf("%s: systemd knows no such unit", u.name), "see systemctl list-units --all; after a new unit file: systemctl daemon-reload")
	case st.Load == "masked":
		return jobs.WithHint(fmt.Errorf("%s is masked", u.name), "systemctl unmask "+u.name)
	case st.Load != "loaded":
		return jobs.WithHint(fmt.Errorf("%s cannot be used: its load state is %s", u.name, st.Load), "systemctl status "+u.name)
	case vital.MatchString(st.ID) && !s.options.AllowCritical:
		return jobs.WithHint(&jobs.RefusedError{Rail: "allow_critical", Why: fmt.Sprintf("%s is %s, a unit that the host lives by; nothing was touched", u.name, st.ID)},
			"if you really mean it: allow_critical: true")
	case u.own && s.verb == verbStop:
		return &jobs.RefusedError{Rail: "own", Why: "upkeep runs in " + u.name + " or in a unit that needs it, so that nobody could end the job; nothing was touched"}
	case s.verb == verbReload && !st.CanReload:
		return jobs.WithHint(fmt.Errorf("%s does not know how to reload", u.name), "use restart, or give the unit an ExecReload=")
	case s.verb == verbReload && st.Active != activeState:
		return fmt.Errorf("%s is %s, so that it cannot reload", u.name, st.Active)
	}
	return nil
}

// remembered is how many runs are asked for what they did.
const remembered = 16

// cool refuses what was done a short time ago.
func (s *service) cool(ctx context.Context) error {
	if s.options.Cooldown <= 0 {
		return nil
	}
	past, err := s.history.Past(ctx, remembered)
	if err != nil {
		return fmt.Errorf("read what this job did before: %w", err)
	}
	for _, p := range past {
		age := time.Since(p.Finished)
		if age >= s.options.Cooldown.Std() {
			continue
		}
		for _, e := range p.Result.Events {
			if e.Kind == eventKind && slices.Contains(s.units, e.Subject) {
				return jobs.WithHint(&jobs.RefusedError{
					Rail: "cooldown", Why: fmt.Sprintf("%s was done %s ago, limit %s; nothing was touched", e.Subject, age.Round(time.Second), s.options.Cooldown),
				}, "a service that needs this often has a fault that a restart does not mend")
			}
		}
	}
	return nil
}

// eventKind is the kind of the events.
const eventKind = "restart"

// Run does the units one after the other.
func (s *service) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	result := jobs.Result{Values: map[string]float64{"units": float64(len(s.units)), "done": 0}}
	if err := context.Cause(ctx); err != nil {
		return result, fmt.Errorf("%s %s: %w", s.verb, strings.Join(s.units, ", "), err)
	}
	begun := time.Now()
	c, err := s.connect(ctx, env)
	if err != nil {
		return result, err
	}
	defer c.Close()
	units, err := s.look(ctx, c)
	if err != nil {
		return result, err
	}
	for _, u := range units {
		if u.before.Memory > 0 {
			result.Values["memory_before_bytes."+jobs.NameFrom(strings.TrimSuffix(u.name, ".service"))] = float64(u.before.Memory)
		}
	}
	if err := env.Plan(s.planName(units)); err != nil {
		return result, err
	}
	if err := s.cool(ctx); err != nil {
		return result, err
	}
	for _, u := range units {
		if err := s.one(ctx, env, c, u, &result); err != nil {
			return result, err
		}
		result.Values["done"]++
		env.Progress(int64(result.Values["done"]), int64(len(units)), "units")
	}
	result.Values["seconds"] = time.Since(begun).Seconds()
	result.Summary = s.summary(env.DryRun())
	if env.DryRun() {
		result.Outputs = map[string]string{jobs.OutputPlan: s.planName(units)}
		result.Values["done"] = 0
	}
	return result, nil
}

func (s *service) summary(dry bool) string {
	list := strings.Join(s.units, ", ")
	switch {
	case dry:
		return "would " + string(s.verb) + " " + list
	case s.verb == verbStop:
		return list + " " + verbStop.past()
	}
	return list + " " + s.verb.past() + " and verified"
}

// one does one unit, and rolls back when it does not come up well.
func (s *service) one(ctx context.Context, env *jobs.Env, c control, u target, result *jobs.Result) error {
	env.Printf("%s: %s, by %s", u.name, u.before, c.Name())
	if u.own && s.verb == verbRestart {
		return s.restartOwn(ctx, env, c, u, result)
	}
	if s.verb == verbStart && u.before.Active == activeState {
		env.Printf("%s runs already", u.name)
		if env.DryRun() {
			return nil
		}
		return s.await(ctx, env, c, u.name)
	}
	if u.before.Memory > 0 {
		env.Printf("%s uses %s", u.name, humanize.IBytes(u.before.Memory))
	}
	s.keepEvidence(ctx, env, u)
	err := env.Effect(ctx, string(s.verb)+" "+u.name, func(ctx context.Context) error {
		return s.perform(ctx, env, c, u, result)
	})
	if err == nil || env.DryRun() || len(s.options.Rollback) == 0 || ctx.Err() != nil {
		return err
	}
	return s.rollBack(ctx, env, c, u, result, err)
}

// perform does the verb with the unit and waits until it is well.
func (s *service) perform(ctx context.Context, env *jobs.Env, c control, u target, result *jobs.Result) error {
	err := s.ask(ctx, c, u)
	if _, refused := errors.AsType[*undoneError](err); err == nil || refused {
		// Whatever came out, systemd has touched it.
		defer func() { result.Events = append(result.Events, s.event(ctx, c, u)) }()
	}
	if err == nil {
		err = s.await(ctx, env, c, u.name)
	}
	if err != nil {
		s.keepEvidence(ctx, env, u)
	}
	return err
}

// undoneError is a job of systemd that ended badly.
type undoneError struct {
	verb         verb
	unit, result string
	after        state
}

func (e *undoneError) Error() string {
	why := fmt.Sprintf("%s %s: systemd says %s; the unit is %s", e.verb, e.unit, e.result, e.after)
	if e.after.Result == startLimit {
		why += ": it was started too often"
	}
	return why
}

// startLimit is the result of a unit that systemd does not start any more
// (systemd.unit(5), StartLimitIntervalSec=).
const startLimit = "start-limit-hit"

// Hint says what a person can do.
func (e *undoneError) Hint() string {
	if e.after.Result == startLimit {
		return "mend what makes it fail, then: systemctl reset-failed " + e.unit
	}
	return "see systemctl status " + e.unit + " and its journal, the end of which is in the output"
}

// ask lets systemd do the verb.
func (s *service) ask(ctx context.Context, c control, u target) error {
	within, cancel := context.WithTimeoutCause(ctx, s.options.Takes.Std(), fmt.Errorf("it took longer than %s", s.options.Takes))
	defer cancel()
	result, err := c.Do(within, s.verb, u.name)
	if err != nil || result == done {
		return err
	}
	after, err := c.State(ctx, u.name)
	if err != nil {
		return err
	}
	return &undoneError{verb: s.verb, unit: u.name, result: result, after: after}
}

// event tells others what was done.
func (s *service) event(ctx context.Context, c control, u target) jobs.Event {
	text := s.verb.past()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), evidenceTime)
	defer cancel()
	if after, err := c.State(ctx, u.name); err == nil {
		text += fmt.Sprintf(": %s, was %s", after, u.before)
	}
	return jobs.Event{Kind: eventKind, Subject: u.name, Text: text}
}

// rollBack undoes the cause, restarts and verifies again. The job has failed in
// any case.
func (s *service) rollBack(ctx context.Context, env *jobs.Env, c control, u target, result *jobs.Result, failed error) error {
	env.Printf("%s is not well: %s; rolling back", u.name, failed)
	err := env.Effect(ctx, "roll back "+u.name+" by "+s.options.Rollback[0], func(ctx context.Context) error {
		if err := s.program(ctx, env, s.options.Rollback, env.Out); err != nil {
			return fmt.Errorf("roll back: %w", err)
		}
		again := *s
		again.verb = verbRestart
		return again.perform(ctx, env, c, u, result)
	})
	if err != nil {
		return &rolledError{failed: failed, rollback: err, unit: u.name}
	}
	return &rolledError{failed: failed, unit: u.name}
}

// rolledError is a unit that did not come up well, and what became of it.
type rolledError struct {
	failed, rollback error
	unit             string
}

func (e *rolledError) Error() string {
	if e.rollback != nil {
		return fmt.Sprintf("%v; the roll back did not help: %v", e.failed, e.rollback)
	}
	return fmt.Sprintf("%v; it was rolled back, and %s is well again", e.failed, e.unit)
}

func (e *rolledError) Unwrap() []error {
	if e.rollback != nil {
		return []error{e.failed, e.rollback}
	}
	return []error{e.failed}
}
