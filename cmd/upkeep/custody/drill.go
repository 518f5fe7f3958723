package custody

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

// Drill proves that artifacts can be restored, and records the outcome beside
// their manifests. What went wrong with one keeps it from no other, and is the
// error that is returned beside what came of all.
func (c *Custodian) Drill(ctx context.Context, r api.DrillRequest) (api.Worked, error) {
	if r.Level == "" {
		r.Level = object.L3
	}
	if r.Keep && r.Level == object.L4 {
		return worked(nil), invalid("keep is for L3: the server of L4 ends with the drill")
	}
	chosen, failed := c.chooseDrills(ctx, r)
	out := worked(nil)
	if len(chosen) == 0 {
		return out, failed
	}
	errs := []error{failed}
	for _, a := range chosen {
		drilled, err := c.drill(ctx, a, r)
		errs = append(errs, err)
		if canceled(ctx) != nil {
			return out, errors.Join(errs...)
		}
		for _, f := range drilled.Findings {
			c.say("%s: %s", f.Severity, jobs.OneLine(f.Text))
			if f.Severity != jobs.Info {
				out.Warnings++
			}
		}
		out.Artifacts = append(out.Artifacts, a.View(time.Now()))
		out.Drills = append(out.Drills, drillOf(drilled))
	}
	return out, errors.Join(errs...)
}

func drillOf(d jobs.Drilled) api.Drill {
	v := api.Drill{Summary: d.Summary, Damaged: d.Proof.Damage != "", Kept: d.Kept}
	if d.Proof.Restored != nil && !v.Damaged {
		v.Done = Restorable(d.Proof)
	}
	return v
}

// Restorable says what a drill has proven.
func Restorable(p object.Proof) string {
	r := p.Restored
	text := fmt.Sprintf("restorable as of %s (proven %s by drill, took %s for %s", r.AsOf.Local().Format(time.DateTime), p.Level, unit.Took(time.Duration(r.Seconds*float64(time.Second))), humanize.IBytes(uint64(max(r.Bytes, 0))))
	switch {
	case r.Assertions == 1:
		text += ", 1 assertion held"
	case r.Assertions > 1:
		text += fmt.Sprintf(", %d assertions held", r.Assertions)
	}
	return text + ")"
}

// chooseDrills finds the artifacts that an id, or jobs and a time, name.
func (c *Custodian) chooseDrills(ctx context.Context, r api.DrillRequest) ([]Artifact, error) {
	if isID(r.Artifact) {
		if r.At != nil {
			return nil, invalid("--at is for WORKFLOW[.JOB]; an id names one artifact already")
		}
		one, err := c.find(ctx, r.Artifact, r.Store)
		if err != nil {
			return nil, err
		}
		return []Artifact{one}, nil
	}
	s := ScopeOf(r.Artifact, r.Store)
	found, failed := c.Artifacts(ctx, s)
	if r.At != nil {
		found = slices.DeleteFunc(found, func(a Artifact) bool { return a.Manifest.Created.After(*r.At) })
	}
	chosen := newestOf(found)
	if len(chosen) == 0 && failed == nil {
		return nil, c.nothing(s)
	}
	return chosen, failed
}

// drill drills one artifact and records the outcome.
func (c *Custodian) drill(ctx context.Context, a Artifact, r api.DrillRequest) (jobs.Drilled, error) {
	what := fmt.Sprintf("drill %s of %s in store %s", a.Manifest.ID, a.Name(), a.Store)
	kind, ok := jobsall.Kinds().Lookup(a.Manifest.Kind)
	driller, can := kind.Artifacts.(jobs.Driller)
	if !ok || !can {
		return jobs.Drilled{}, fmt.Errorf("%s: this version of upkeep does not drill artifacts of the kind %q", what, a.Manifest.Kind)
	}
	c.warnBefore(a)
	var secrets []string
	drill := c.asked(a, r)
	drill.Open = func(name string) (jobs.Database, error) {
		database, found, err := c.o.Config.OpenDatabase(name)
		secrets = append(secrets, found...)
		return database, unknownDatabase(err, "name a database of the configuration with --database")
	}
	stop := c.watch(a, "drill")
	var drilled jobs.Drilled
	err := inScratch(func(dir string) (err error) {
		env := c.env(a, dir, jobs.Hooks{DryRun: r.DryRun})
		if !r.DryRun {
			env.Out = io.Discard // the summary says it
		}
		drilled, err = driller.Drill(ctx, env, a.Artifact, drill)
		return err
	})
	stop()
	if err != nil {
		err = Scrubber(secrets)(a.scrub(a.advise(fmt.Errorf("%s: %w", what, err))))
	}
	if drilled.Proof.Time.IsZero() {
		return drilled, err
	}
	if gone := a.gone(ctx); gone != nil {
		return drilled, fmt.Errorf("%s: %w", what, gone)
	}
	if !deeper(a.Proof, drilled.Proof) {
		return drilled, err
	}
	return drilled, errors.Join(err, a.scrub(a.Record(ctx, drilled.Proof)))
}

// asked says how to drill an artifact: as its job is configured to, and as who
// asks says. A job that cannot be built is told about.
func (c *Custodian) asked(a Artifact, r api.DrillRequest) jobs.Drill {
	var drill jobs.Drill
	for _, m := range Makers(c.o.Config, Scope{Workflow: a.Manifest.Workflow, Job: a.Manifest.Job}) {
		if m.Job.Kind != a.Manifest.Kind {
			continue
		}
		job, secrets, err := m.Job.Build(nil)
		if err != nil {
			c.say("warning: the assertions of %s are not known: %s", m.Name(), jobs.OneLine(Scrubber(secrets)(err).Error()))
			continue
		}
		if drilling, ok := job.(jobs.Drilling); ok {
			drill = drilling.Drill()
		}
	}
	drill.Level, drill.Identities, drill.Keep = r.Level, c.o.Identities, r.Keep
	drill.Assert = append(slices.Clone(drill.Assert), r.Assert...)
	if r.Database != "" {
		drill.Database = r.Database
	}
	return drill
}
