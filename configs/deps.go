package configs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/object"
)

// scope is the jobs.Deps of one job or probe. It resolves what the job refers
// to, and keeps the secrets on the way.
type scope struct {
	world *world
	// decoder resolves references and keeps secrets and problems.
	decoder *decode.Decoder
	// workflow and job name the job; check names the check when it is one.
	workflow, job, check string
	// jobs are the names of the jobs of this workflow, which may be an older
	// one than the configuration has.
	jobs []string
	// history makes histories while a run is under way; nil before.
	history runner.HistoryReader

	// unknown are the names that were asked for and do not exist; broken tells
	// that something was asked for that has problems of its own.
	unknown []*UnknownError
	broken  bool
	// reasons and hint say what was broken.
	reasons []string
	hint    string
	// stores and databases tell what was asked for, for the lint; incomplete
	// tells that the job was not asked, because its options are not all known.
	stores, databases []string
	incomplete        bool
}

func (s *scope) miss(family, name string, known []string) error {
	err := &UnknownError{Family: family, Name: name, Known: known}
	s.unknown = append(s.unknown, err)
	return err
}

// attempt resolves something with a decoder of its own, so that its problems
// are not taken for those of the job.
func (s *scope) attempt(what string, resolve func(*decode.Decoder) bool) error {
	d := &decode.Decoder{Resolver: s.world.resolver()}
	ok := resolve(d)
	s.decoder.Secrets = append(s.decoder.Secrets, d.Secrets...)
	if ok {
		return nil
	}
	s.broken = true
	err := fmt.Errorf("%s cannot be used", what)
	if wrong := d.Problems.Errors(); len(wrong) > 0 {
		err = fmt.Errorf("%s cannot be used: %s", what, wrong[0].Message)
		s.hint = wrong[0].Hint
	}
	s.reasons = append(s.reasons, err.Error())
	return jobs.WithHint(err, s.hint)
}

// Store opens the store of that name.
func (s *scope) Store(name string) (store object.Store, err error) {
	item, ok := s.world.stores.Lookup(name)
	if !ok {
		return nil, s.miss("store", name, s.world.stores.Names())
	}
	s.stores = append(s.stores, name)
	err = s.attempt(fmt.Sprintf("store %q", name), func(d *decode.Decoder) (ok bool) {
		store, ok = s.world.openStore(d, item)
		return ok
	})
	return store, err
}

// channel opens the channel of that name, for who sends notices.
func (s *scope) channel(name string) (channel alerts.Channel, err error) {
	item, ok := s.world.channels.Lookup(name)
	if !ok {
		return nil, s.miss("channel", name, s.world.channels.Names())
	}
	if !s.world.enabled(item) {
		return nil, jobs.WithHint(fmt.Errorf("channel %q is not enabled", name), "its enabled: in the configuration says so")
	}
	err = s.attempt(fmt.Sprintf("channel %q", name), func(d *decode.Decoder) (ok bool) {
		channel, ok = s.world.openChannel(d, item)
		return ok
	})
	return channel, err
}

// Database returns the database of that name.
func (s *scope) Database(name string) (database jobs.Database, err error) {
	item, ok := s.world.databases.Lookup(name)
	if !ok {
		return jobs.Database{}, s.miss("database", name, s.world.databases.Names())
	}
	s.databases = append(s.databases, name)
	err = s.attempt(fmt.Sprintf("database %q", name), func(d *decode.Decoder) (ok bool) {
		database, ok = s.world.openDatabase(d, item)
		return ok
	})
	return database, err
}

// Check returns the check of that name with a new probe.
func (s *scope) Check(name string) (check jobs.Check, err error) {
	if s.check != "" {
		return jobs.Check{}, errors.New("a check cannot ask other checks")
	}
	item, ok := s.world.check(name)
	if !ok {
		return jobs.Check{}, s.miss("check", name, s.world.checkNames())
	}
	if item.Value.Kind == health.KindHeartbeat {
		return jobs.Check{}, errTold(name)
	}
	err = s.attempt(fmt.Sprintf("check %q", name), func(d *decode.Decoder) (ok bool) {
		check, ok = s.world.buildCheck(d, item)
		return ok
	})
	return check, err
}

// Checks returns the names of all checks that can be asked, in the order of the
// file.
func (s *scope) Checks() []string {
	if s.check != "" {
		return nil
	}
	return s.world.asked()
}

// History returns what a job did before; two empty names mean this very job.
func (s *scope) History(workflow, job string) (jobs.History, error) {
	if s.check != "" {
		return nil, errors.New("a check has no history")
	}
	if workflow == "" {
		workflow = s.workflow
	}
	if job == "" && workflow == s.workflow {
		job = s.job
	}
	known := s.jobs
	if workflow != s.workflow {
		names, ok := s.world.workflows[workflow]
		if !ok {
			return nil, s.miss("workflow", workflow, s.world.workflowNames())
		}
		known = names
	}
	if !slices.Contains(known, job) {
		return nil, s.miss("job", job, known)
	}
	if s.history == nil {
		return noHistory{}, nil
	}
	return s.history(workflow, job), nil
}

// noHistory is what jobs get that are built only to see whether they could be.
type noHistory struct{}

// Past tells that there is nothing to read.
func (noHistory) Past(context.Context, int) ([]jobs.Past, error) {
	return nil, errors.New("the history can be read only while a run is under way")
}

func (w *world) workflowNames() []string {
	names := make([]string, 0, len(w.workflows))
	for name := range w.workflows {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
