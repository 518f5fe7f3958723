package alerts

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// shortestRepeat is the least time between two messages that say the same.
const shortestRepeat = time.Minute

// Escalation tells further channels of a fault that lasts.
type Escalation struct {
	After unit.Duration `yaml:"after" required:"true" doc:"How long a fault must last, without anybody having acknowledged it." example:"15m"`
	To    unit.Names    `yaml:"to" required:"true" doc:"The channels that are told then, too." example:"[pager]"`
}

// lasting returns what is wrong with what a route says about faults that last.
func (r Route) lasting() error {
	if r.Repeat != 0 && r.Repeat.Std() < shortestRepeat {
		return jobs.Fieldf("repeat", "%s is less than 1m", r.Repeat)
	}
	for i, e := range r.Escalate {
		field := fmt.Sprintf("escalate[%d]", i)
		switch {
		case e.After <= 0:
			return &jobs.FieldError{Field: field + ".after", Why: "it must be longer than nothing", Hint: "channels that are told at once belong under to: of the route"}
		case len(e.To) == 0:
			return jobs.Fieldf(field+".to", "it names no channel")
		}
	}
	return nil
}

// duties are what the routes want to be done about an open incident as time
// passes.
type duties struct {
	// repeat is how long each channel is left alone; those that are not in it
	// are told once.
	repeat   map[string]time.Duration
	escalate []Escalation
	// untold are channels that are to be told although nobody owed them the
	// opening: the workflow has failed often enough by now.
	untold []string
}

// duties walks the routes as Channels does.
func (p *Policy) duties(i runner.Incident) duties {
	out := duties{repeat: map[string]time.Duration{}}
	if own := p.own(i.Fault); own.After > 1 && i.Workflow != "" && i.Reason == ReasonFailed && i.Count >= own.After {
		out.untold = p.told(i.Fault)
	}
	if own := p.own(i.Fault); own.Off || len(own.To) > 0 {
		return out
	}
	for _, r := range p.routes {
		if !r.Match.FitsFault(i.Fault) {
			continue
		}
		for _, name := range r.Told() {
			if known, twice := out.repeat[name]; r.Repeat > 0 && (!twice || r.Repeat.Std() < known) {
				out.repeat[name] = r.Repeat.Std()
			}
		}
		out.escalate = append(out.escalate, r.Escalate...)
		if !r.Continue {
			break
		}
	}
	return out
}

// own returns what the workflow or the check of a fault says itself.
func (p *Policy) own(f runner.Fault) WorkflowAlert {
	if f.Workflow != "" {
		return p.workflows[f.Workflow]
	}
	return p.checks[f.Check]
}

// Told returns all channels that a route may tell.
func (r Route) Told() []string {
	names := appendNew(nil, r.To)
	for _, e := range r.Escalate {
		names = appendNew(names, e.To)
	}
	return names
}
