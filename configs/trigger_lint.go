package configs

import (
	"fmt"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health/runbook"
	"github.com/ghosteam/upkeep/runner"
)

// irreversible says why a job must not run by itself because a check fails;
// empty when it may. key is the option that makes it so, empty for the kind.
//
// A fault that is seen wrongly, or that comes from elsewhere, must not cost what
// nobody can bring back. A script is what somebody wrote for the purpose.
func irreversible(kind string, with *source.Node) (why, key string) {
	has := func(path string) bool {
		if with == nil {
			return false
		}
		_, _, ok := with.Find(path)
		return ok
	}
	switch {
	case kind == "redispurge":
		return "the keys that it removes are gone", ""
	case kind == "prune":
		return "the files that it deletes are gone", ""
	case kind == "packages":
		return "an upgrade cannot be taken back", ""
	case kind == "pgvacuum" && has("full.tables"):
		return "VACUUM FULL keeps everybody out of a table", "full"
	case kind == serviceKind && has("stop"):
		return "what it stops stays down", "stop"
	}
	return "", ""
}

// refuseIrreversible refuses runbooks that would destroy something by
// themselves.
func (b *draft) refuseIrreversible() {
	if b.out.Trigger == nil || b.out.Mode != runbook.Auto || b.frozen {
		return
	}
	for i := range b.jobs {
		item := &b.jobs[i]
		why, key := irreversible(item.Value.Kind, item.Value.With)
		if why == "" {
			continue
		}
		place, path := at(item.Node, "kind", item.At), b.child("jobs")+"."+item.Name+".kind"
		if key != "" {
			place, path = at(item.Value.With, key, place), b.child("jobs")+"."+item.Name+".with."+key
		}
		b.d.Report(place, "irreversible", path, fmt.Sprintf("a check must not start this by itself: %s", why), "let somebody decide: mode: approve")
	}
}

// lintTrigger looks at what starts the workflow.
func (b *draft) lintTrigger() {
	t := b.out.Trigger
	if t == nil {
		if e, given := b.node.Get("limits"); given {
			b.d.Warn(e.At, "no-effect", b.child("limits"), "limits has no effect: no check starts the workflow", "add a trigger:, or remove the line")
		}
		return
	}
	item, ok := b.world.check(t.Check)
	if !ok {
		return
	}
	e, _ := b.node.Get("trigger")
	if t.Value == "" && t.Is == runner.HealthCritical && item.Value.Impact == runner.ImpactNone {
		b.d.Warn(at(e.Value, "check", e.At), "no-effect", b.child("trigger.check"), fmt.Sprintf("the impact of the check %s is none, so it is never critical", t.Check), "write is: warning, or give the check an impact")
	}
	every := item.Value.Every.Std()
	if least := every; b.out.Limits.Grace < least {
		b.d.Warn(at(b.node, "limits.grace", e.At), "timeout-order", b.child("limits.grace"),
			fmt.Sprintf("the check is asked every %s, so it cannot be seen to be well within %s", unit.Duration(every), unit.Duration(b.out.Limits.Grace)), "make grace longer")
	}
	for i := range b.jobs {
		b.lintProof(&b.jobs[i], &b.out.Jobs[i])
	}
}

// lintProof looks for restarts that count as done as soon as systemd says so.
func (b *draft) lintProof(item *decode.Item[jobFile], job *Job) {
	if job.Kind != serviceKind {
		return
	}
	for _, key := range []string{"verify.check", "verify.http", "verify.tcp", "verify.run", "stop"} {
		if item.Value.With == nil {
			break
		}
		if _, _, ok := item.Value.With.Find(key); ok {
			return
		}
	}
	b.d.Warn(at(item.Node, "with", item.At), "unproven", job.path+".with", "nothing proves that the service answers after this", "name a check of it: verify: {check: api, within: 90s}")
}
