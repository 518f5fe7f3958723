// Package configs turns the YAML that people write into a checked Config. It is
// strict: whatever it does not understand is a Problem with a place, a line and
// advice, and all problems are reported at once. It knows the contracts of
// kinds and stores and gets the kinds themselves as registries; it starts
// nothing, writes nothing and keeps no secret in what a run records.
//
// Load reads a configuration. A Config compiles the frozen text of a run into a
// plan, and makes its jobs anew for every attempt. Schema describes the format
// to editors. The shipped configurations beside this file are its fixtures.
package configs

import (
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/object"
)

// Config is a checked configuration. It does not change and may be used from
// several goroutines.
type Config struct {
	// Path is the absolute path of the configuration file. Files are all files
	// that belong to it, that one first.
	Path  string
	Files []string
	// Project is what is looked after; Node is the name of this node.
	Project, Node string
	// Labels are those of this node.
	Labels []string
	// Root is the absolute folder at which relative paths begin.
	Root string
	// Timezone is the zone of schedules that name no other.
	Timezone *time.Location
	// Ledger says where the record of runs is kept.
	Ledger Ledger
	// MaxRunning is the most runs under way at once on this node, at least 1.
	MaxRunning int
	// KillGrace is how long a child process may take to end before it is
	// killed.
	KillGrace time.Duration
	// DrainTimeout is how long a service that is asked to end waits for its
	// runs before it interrupts them; 0 means not at all.
	DrainTimeout time.Duration
	// Lease says how nodes that share a ledger prove that they are alive.
	Lease Lease
	// Ballast is the size in bytes of the file that is given up when the disk
	// is full; 0 means none.
	Ballast int64
	// History is how much stays on record of workflows that do not say
	// otherwise, also of those that are no longer configured.
	History runner.History
	// Stores, Databases and Checks are in the order of the file. Checks holds
	// the implicit check when none is configured.
	Stores    []Store
	Databases []Database
	Checks    []Check
	// Resources are in the order of the file.
	Resources []Resource
	// Connectivity says how to find out whether this machine's own network is
	// up; without addresses nobody asks.
	Connectivity Connectivity
	// Channels are in the order of the file. Routes say what they are told of:
	// those of the file or, when it says nothing, one that tells all channels
	// of everything.
	Channels []Channel
	Routes   []alerts.Route
	// Heartbeat and Weekly are what the service says without being asked.
	Heartbeat Heartbeat
	Weekly    WeeklyDigest
	// Workflows are in the order of the file.
	Workflows []*Workflow
	// Log says what the service logs.
	Log Log
	// Metrics says which metrics there are.
	Metrics Metrics
	// Web says who may use the API and the pages over TCP.
	Web Web
	// Scrapes are the applications whose metrics are read, KPIs the figures that
	// are wanted.
	Scrapes []Scrape
	KPIs    reports.Plan
	// Warnings is what is legal and looks like a mistake.
	Warnings Problems

	byName  map[string]*Workflow
	alarm   *alerts.Policy
	digest  string
	node    *source.Node
	world   *world
	secrets []string
	// hidden are secrets, and the texts of those that stand in the files.
	hidden []string
}

// Store is a configured store.
type Store struct{ Name, Kind string }

// Database is a configured database.
type Database struct{ Name, Kind string }

// Workflow returns the workflow of that name. Otherwise the error is an
// *UnknownError with a hint.
func (c *Config) Workflow(name string) (*Workflow, error) {
	if w, ok := c.byName[name]; ok {
		return w, nil
	}
	names := make([]string, len(c.Workflows))
	for i, w := range c.Workflows {
		names[i] = w.Name
	}
	return nil, unknown("workflow", name, names)
}

// Job returns the job that "workflow.job" names.
func (c *Config) Job(workflow, name string) (Job, error) {
	w, err := c.Workflow(workflow)
	if err != nil {
		return Job{}, err
	}
	job, ok := w.Job(name)
	if !ok {
		names := make([]string, len(w.Jobs))
		for i, known := range w.Jobs {
			names[i] = known.Name
		}
		return Job{}, unknown("job", name, names)
	}
	return job, nil
}

func unknown(family, name string, known []string) error {
	err := &UnknownError{Family: family, Name: name, Known: known}
	return jobs.WithHint(err, err.Hint())
}

// OpenStore opens the configured store of that name with its references
// resolved now. The texts are the secrets that it can see.
func (c *Config) OpenStore(name string) (object.Store, []string, error) {
	return resolveOutside(c, func(s *scope) (object.Store, error) { return s.Store(name) })
}

// OpenDatabase returns the configured database of that name with its references
// resolved now. The texts are the secrets that it can see.
func (c *Config) OpenDatabase(name string) (jobs.Database, []string, error) {
	return resolveOutside(c, func(s *scope) (jobs.Database, error) { return s.Database(name) })
}

// OpenCheck makes the probe of the configured check of that name with its
// references resolved now. The texts are the secrets that it can see.
func (c *Config) OpenCheck(name string) (jobs.Check, []string, error) {
	return resolveOutside(c, func(s *scope) (jobs.Check, error) { return s.Check(name) })
}

// OpenChannel opens the configured channel of that name with its references
// resolved now. The texts are the secrets that it can see.
func (c *Config) OpenChannel(name string) (alerts.Channel, []string, error) {
	return resolveOutside(c, func(s *scope) (alerts.Channel, error) { return s.channel(name) })
}

// Alarm returns the policy that decides which ends of runs are faults and which
// channels are told.
func (c *Config) Alarm() *alerts.Policy { return c.alarm }

// resolveOutside resolves something for the command line instead of a job.
func resolveOutside[T any](c *Config, ask func(*scope) (T, error)) (T, []string, error) {
	s := &scope{world: c.world, decoder: &decode.Decoder{Resolver: c.world.resolver()}}
	out, err := ask(s)
	secrets := distinct(s.decoder.Secrets)
	if len(s.unknown) > 0 {
		err = jobs.WithHint(err, s.unknown[0].Hint())
	}
	return out, secrets, err
}

// Secrets returns the texts that must not be shown of everything that the
// configuration resolved while it was loaded.
func (c *Config) Secrets() []string { return c.secrets }

// SpecError says that the text which a run recorded no longer loads: a kind, a
// store or a check that it uses is gone, or another version of upkeep wrote
// it.
type SpecError struct {
	Workflow string
	// Problems are positioned in the recorded text.
	Problems Problems
}

// Error returns the first problem in one line.
func (e *SpecError) Error() string {
	wrong := e.Problems.Errors()
	more := ""
	if len(wrong) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(wrong)-1)
	}
	first := wrong[0]
	path := ""
	if first.Path != "" && !strings.Contains(first.Message, first.Path) {
		path = first.Path + ": "
	}
	return fmt.Sprintf("the workflow %s as this run recorded it no longer loads: %s%s%s", e.Workflow, path, first.Message, more)
}

// specFile is what problems in a recorded text name as their file.
func specFile(workflow string) string { return "recorded workflow " + workflow }

// frozenNode reads a recorded text.
func frozenNode(spec runner.Spec) (*source.Node, Problems) {
	file, node, problems := source.Read(specFile(spec.Workflow), []byte(spec.Text))
	if node == nil {
		return nil, problems
	}
	if specOf(spec.Workflow, spec.Text).Digest != spec.Digest {
		problems = append(problems, source.Pos{File: file, Line: 1, Col: 1}.Problem(Error, "digest", "", "the text does not have the digest that was recorded with it", ""))
	}
	return node, problems
}
