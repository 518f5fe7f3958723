// Package usage is the job that judges how much room paths take, how fast they
// grow and when their file system will be full. It replaces reading df and du
// by eye.
package usage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

const doc = `Measures how much disk space paths take, how fast they grow, and judges it.

Sizes are disk blocks, as du counts them: sparse files count what they occupy,
hard links once. Symbolic links are not followed and other file systems below a
path are not entered. Growth is the change against the earlier run of this job
that is nearest to a week old, per day; it needs one that is at least an hour
old. When the file system will be full follows in the same way from how its free
space shrinks, whatever fills it; that needs a run that is at least a day old.
What lies on one file system is judged for its free space once.

A path that cannot be read is a failure; what lies below it and cannot be read
is a warning, because the sum is too small then.

Values: bytes, and for each path, by its name: bytes.NAME, files.NAME,
growth_bytes_per_day.NAME, free_bytes.NAME, free_percent.NAME and
days_to_full.NAME (only while the free space shrinks).`

// Options list what is measured.
type Options struct {
	Paths []Target   `yaml:"paths" required:"true" doc:"What to measure: a list of groups with a path and its limits."`
	Free  FreeLimits `yaml:"free" doc:"Limits of the free space of the file systems that hold the paths."`
	Full  FullLimits `yaml:"days_to_full" doc:"Limits of the time until a file system is full at the present growth."`
	Top   int        `yaml:"top" doc:"How many of the largest entries directly below each path to print; 0 to 1000."`
}

// Target is one path with its limits.
type Target struct {
	Name    string    `yaml:"name" doc:"The name in values and findings; by default the path's last element." example:"logs"`
	Path    unit.Path `yaml:"path" required:"true" doc:"The file or folder to measure." example:"logs"`
	Match   []string  `yaml:"match" doc:"Count only files whose path below it matches one of these patterns (* and ** allowed); empty means all." example:"['**/*.log']"`
	Warn    unit.Size `yaml:"warn" doc:"Above this size it is a warning; 0 means no limit." example:"5GiB"`
	Crit    unit.Size `yaml:"crit" doc:"Above this size it is critical; 0 means no limit." example:"20GiB"`
	Growth  unit.Size `yaml:"growth_warn" doc:"Above this growth per day it is a warning; 0 means no limit." example:"1GiB"`
	Missing string    `yaml:"missing" enum:"fail,ignore" doc:"What a path that does not exist means: fail (the default) or ignore."`
}

// FreeLimits judge free space: less of it than a limit breaks the limit.
type FreeLimits struct {
	Warn unit.Share `yaml:"warn" doc:"Less free space than this share is a warning."`
	Crit unit.Share `yaml:"crit" doc:"Less free space than this share is critical."`
}

// FullLimits judge the time until a file system is full.
type FullLimits struct {
	Warn unit.Duration `yaml:"warn" doc:"Full sooner than this is a warning."`
	Crit unit.Duration `yaml:"crit" doc:"Full sooner than this is critical."`
}

// Kind returns the kind.
func Kind() jobs.Kind {
	const day = unit.Duration(24 * time.Hour)
	defaults := Options{Free: FreeLimits{Warn: 20, Crit: 5}, Full: FullLimits{Warn: 7 * day, Crit: day}, Top: 5}
	return jobs.Define("usage", doc, defaults, build)
}

// Validate reports missing paths and limits that contradict each other.
func (o *Options) Validate() error {
	var errs []error
	if len(o.Paths) == 0 {
		errs = append(errs, jobs.Fieldf("paths", "there is nothing to measure"))
	}
	names := map[string]bool{}
	for i, p := range o.Paths {
		at := fmt.Sprintf("paths[%d]", i)
		if p.Path == "" {
			errs = append(errs, jobs.Fieldf(at+".path", "it is required"))
			continue
		}
		if name := p.name(); names[name] {
			errs = append(errs, &jobs.FieldError{Field: at, Why: fmt.Sprintf("two paths are called %q", name), Hint: "give one of them a `name:`"})
		} else {
			names[name] = true
		}
		if p.Warn > 0 && p.Crit > 0 && p.Warn > p.Crit {
			errs = append(errs, jobs.Fieldf(at+".warn", "%s is above crit, %s", p.Warn, p.Crit))
		}
		if p.Missing != "" && p.Missing != "fail" && p.Missing != "ignore" {
			errs = append(errs, jobs.Fieldf(at+".missing", "%q is neither fail nor ignore", p.Missing))
		}
		for j, pattern := range p.Match {
			if !doublestar.ValidatePattern(pattern) {
				errs = append(errs, jobs.Fieldf(fmt.Sprintf("%s.match[%d]", at, j), "%q is not a pattern", pattern))
			}
		}
	}
	if o.Free.Warn < o.Free.Crit {
		errs = append(errs, jobs.Fieldf("free.warn", "%s is below crit, %s", o.Free.Warn, o.Free.Crit))
	}
	if o.Full.Warn < o.Full.Crit {
		errs = append(errs, jobs.Fieldf("days_to_full.warn", "%s is below crit, %s", o.Full.Warn, o.Full.Crit))
	}
	if o.Top < 0 || o.Top > 1000 {
		errs = append(errs, jobs.Fieldf("top", "%d is out of range: use 0 to 1000", o.Top))
	}
	return errors.Join(errs...)
}

// name is the target's name as a legal part of a value's name.
func (p Target) name() string {
	name := p.Name
	if name == "" {
		name = filepath.Base(string(p.Path))
	}
	if name = jobs.NameFrom(name); name == "" {
		return "root"
	}
	return name
}

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	history, err := deps.History("", "")
	if err != nil {
		return nil, fmt.Errorf("history of this job: %w", err)
	}
	return &survey{options: o, history: history}, nil
}

// survey is the job.
type survey struct {
	options Options
	history jobs.History
}

// Check makes sure that the paths can be read.
func (s *survey) Check(context.Context, *jobs.Env) error {
	var errs []error
	for _, p := range s.options.Paths {
		if err := readable(p); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Run measures every path and judges the outcome.
func (s *survey) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("measure paths: %w", err)
	}
	past, err := s.history.Past(ctx, pastRuns)
	if err != nil {
		return jobs.Result{}, fmt.Errorf("read earlier sizes: %w", err)
	}
	j := &judgement{options: s.options, past: past, now: time.Now(), values: map[string]float64{}, judged: map[uint64]bool{}}
	var total int64
	for _, p := range s.options.Paths {
		size, err := measure(ctx, env, p, s.options.Top)
		if err != nil {
			return jobs.Result{Values: j.values, Findings: j.findings}, err
		}
		if size.missing {
			env.Printf("%s: does not exist", p.Path)
			continue
		}
		total += size.bytes
		j.target(env, p, size)
	}
	j.values["bytes"] = float64(total)
	summary := jobs.Headline(j.findings)
	if summary == "" {
		summary = j.plain(total)
	}
	return jobs.Result{Summary: summary, Values: j.values, Findings: j.findings}, nil
}
