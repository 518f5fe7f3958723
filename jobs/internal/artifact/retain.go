package artifact

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/retention"
)

// prune applies retention to the artifacts of this job in a store. Only the
// end of ctx makes it fail; other trouble becomes a finding, because the new
// artifact is safe.
func (p *Publisher) prune(ctx context.Context, env *jobs.Env, s store, out *Outcome) error {
	policy := p.options.Keep.Policy()
	if !policy.Active() {
		return nil
	}
	held, err := p.inventory(ctx, env, s, out)
	if err == nil {
		now, items := time.Now(), held.items
		if env.DryRun() {
			// The artifact that a real run would have added.
			items = append(items, retention.Item{ID: "new", Time: now, Verified: true})
		}
		plan := retention.Apply(policy, items, now, env.Zone)
		if plan.Held != "" {
			env.Printf("store %s: retention holds back: %s", s.name, plan.Held)
		}
		err = p.remove(ctx, env, s, plan, held.artifacts, out)
	}
	if err == nil || context.Cause(ctx) != nil {
		return err
	}
	out.Findings = append(out.Findings, jobs.Finding{
		ID: "retention-failed", Severity: jobs.Warning, Text: fmt.Sprintf("store %s: cannot remove old artifacts: %s", s.name, oneLine(err)),
	})
	return nil
}

// inventory is what a store holds of this job: the artifacts by their ids, and
// as retention sees them.
type inventory struct {
	kind      string
	needed    object.Level
	artifacts map[string]*object.Artifact
	items     []retention.Item
}

func (p *Publisher) newInventory() *inventory {
	needed := p.options.Verify.Each
	if needed.Rank() > object.L1.Rank() {
		needed = object.L1
	}
	return &inventory{kind: p.kind, needed: needed, artifacts: map[string]*object.Artifact{}}
}

// add counts an artifact, unless it is of another kind, which is left alone.
func (i *inventory) add(a *object.Artifact) {
	if a.Manifest.Kind != i.kind {
		return
	}
	i.artifacts[a.Manifest.ID] = a
	i.items = append(i.items, retention.Item{
		ID: a.Manifest.ID, Time: a.Manifest.Created,
		Verified: a.Level().Rank() >= i.needed.Rank() && a.Manifest.Suspect == "",
	})
}

// inventory reads the manifests of this job's artifacts in a store. What is
// damaged, newer than this program or of another kind is left alone.
func (p *Publisher) inventory(ctx context.Context, env *jobs.Env, s store, out *Outcome) (*inventory, error) {
	held := p.newInventory()
	for a, err := range object.Artifacts(ctx, s.Store, object.Folder(env.Workflow, env.Job)) {
		if a == nil {
			return nil, err
		}
		if err != nil {
			if !errors.Is(err, object.ErrDamaged) && !errors.Is(err, object.ErrNewer) {
				return nil, err
			}
			out.Findings = append(out.Findings, jobs.Finding{
				ID: "unreadable-manifest", Severity: jobs.Warning, Text: fmt.Sprintf("store %s: %s is left alone: %s", s.name, a.Dir(), oneLine(err)),
			})
			continue
		}
		a.Manifest.Details = nil // what retention does not need would fill the memory
		held.add(a)
	}
	return held, nil
}

// remove carries out a plan.
func (p *Publisher) remove(ctx context.Context, env *jobs.Env, s store, plan retention.Plan, artifacts map[string]*object.Artifact, out *Outcome) error {
	for _, d := range plan.Remove {
		a := artifacts[d.Item.ID]
		stored := a.Manifest.Stored()
		what := fmt.Sprintf("remove artifact %s from store %s (%s, made %s: %s)", d.Item.ID, s.name, Bytes(stored),
			humanize.Time(d.Item.Time), strings.Join(d.Reasons, ", "))
		a.Manifest.Process = Process() // which stands in the marker
		err := env.Effect(ctx, what, a.Remove)
		if locked, ok := errors.AsType[*object.LockedError](err); ok {
			env.Printf("store %s: %v; it stays", s.name, locked)
			continue
		}
		left, ok := errors.AsType[*object.LeftoverError](err)
		if ok {
			env.Printf("store %s: %v; it will be swept later", s.name, left)
		} else if err != nil {
			return err
		}
		if !env.DryRun() {
			out.Removed++
			out.RemovedBytes += stored
		}
	}
	return nil
}

// oneLine makes an error fit into a finding.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
