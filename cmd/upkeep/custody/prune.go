package custody

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/web/api"
)

// Prune tells what the retention of the jobs in the scope removes now, or with
// r.Apply has it removed. It is refused when a store cannot be read to its end.
func (c *Custodian) Prune(ctx context.Context, r api.PruneRequest) (api.Worked, error) {
	out := worked(nil)
	s := Scope{Workflow: r.Workflow, Job: r.Job, Store: r.Store, Bare: true}
	stores, err := s.stores(c.o.Config)
	if err != nil {
		return out, err
	}
	makers := Makers(c.o.Config, s)
	if len(makers) == 0 {
		return out, notFound("`upkeep backup list` shows what there is", "no configured job in this scope makes artifacts")
	}
	found, err := c.Artifacts(ctx, s)
	if err != nil {
		return out, err
	}
	what := jobs.Pruning{Stores: only(s.Store), Known: known(found, stores, nil)}
	var errs []error
	for _, m := range makers {
		retained, err := c.retention(ctx, m, what, r.Apply)
		errs = append(errs, err)
		for _, one := range retained {
			setFates(found, m, one)
			errs = append(errs, c.tellRetained(ctx, m, one, r.Apply))
		}
		if canceled(ctx) != nil {
			break
		}
	}
	found = slices.DeleteFunc(found, func(a Artifact) bool { return a.Fate.Word == "" })
	for _, a := range found {
		if a.Fate.Word == FateRemove && !r.Apply || a.Fate.Word == FateRemoved {
			out.Number, out.Bytes = out.Number+1, out.Bytes+a.Manifest.Stored()
		}
	}
	out.Artifacts = Views(found, time.Now())
	if len(found) == 0 {
		out.Empty = s.Nothing(c.o.Config)
	}
	return out, errors.Join(errs...)
}

// tellRetained tells what retention has to say beside the list. It is an error
// that a rail holds back everything which was to be removed.
func (c *Custodian) tellRetained(ctx context.Context, m Maker, r jobs.Retained, apply bool) error {
	for _, f := range r.Findings {
		c.say("%s: %s: %s", f.Severity, m.Name(), jobs.OneLine(f.Text))
	}
	if r.Plan.Held == "" || !r.Active {
		return nil
	}
	why := r.Plan.Held
	failed, err := c.newestFailure(ctx, m)
	if err != nil {
		return err
	}
	if !failed.IsZero() {
		why += fmt.Sprintf(" (the job failed at %s)", failed.Local().Format(time.DateTime))
	}
	if apply && len(r.Plan.Remove) == 0 {
		return jobs.WithHint(&jobs.RefusedError{Rail: "retention", Why: fmt.Sprintf("nothing of %s in store %s is removed: %s", m.Name(), r.Store, why)},
			"run the job until it succeeds")
	}
	c.say("%s: store %s: retention holds back: %s", m.Name(), r.Store, jobs.OneLine(why))
	return nil
}
