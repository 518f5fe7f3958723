package retrain

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/ghosteam/upkeep/jobs"
)

// The outcomes of a run, as outputs and manifests tell them.
const (
	outcomePromoted   = "promoted"
	outcomeCandidate  = "candidate"
	outcomeNotBetter  = "not_better"
	outcomeHeldBack   = "held_back"
	outcomeRolledBack = "rolled_back"
)

// verdict is what comparing says.
type verdict struct {
	better bool
	// outcome is empty for a candidate that may be promoted.
	outcome string
	// text says why, for people.
	text     string
	findings []jobs.Finding
}

// rounding is the part of a value that two computations of the same difference
// may differ by: 0.815 - 0.81 is a little less than 0.005 in binary.
const rounding = 1e-9

// compare judges the candidate's metrics by the incumbent's; before is nil when
// there is no model to compare with. An error says that they cannot be compared.
func (o *Options) compare(now, before map[string]float64) (verdict, error) {
	metric := o.Promote.Metric
	value, ok := now[metric]
	if !ok {
		return verdict{}, unmeasured("candidate", metric)
	}
	if samples, ok := now[o.Promote.Samples]; o.Promote.MinSamples > 0 {
		if !ok {
			return verdict{}, unmeasured("candidate", o.Promote.Samples)
		}
		if samples < o.Promote.MinSamples {
			return held("retrain:samples", fmt.Sprintf("the candidate was measured on %s samples, fewer than %s", number(samples), number(o.Promote.MinSamples))), nil
		}
	}
	if before == nil {
		return verdict{better: true, text: fmt.Sprintf("%s %s, the first model", metric, number(value))}, nil
	}
	old, ok := before[metric]
	if !ok {
		return verdict{}, unmeasured("incumbent", metric)
	}
	if a, b := now[o.Promote.Samples], before[o.Promote.Samples]; a != b {
		return verdict{}, jobs.WithHint(fmt.Errorf("the candidate was measured on %s samples and the incumbent on %s, so they cannot be compared", number(a), number(b)),
			"let evaluate measure every version on the same data")
	}
	gain := improvement(o.Promote.Better, value, old)
	slack := rounding * max(math.Abs(value), math.Abs(old))
	text := fmt.Sprintf("%s %s, incumbent %s", metric, number(value), number(old))
	if gain <= slack || gain+slack < o.Promote.Margin {
		text += ", not better"
		if o.Promote.Margin > 0 {
			text += " by " + number(o.Promote.Margin)
		}
		return verdict{outcome: outcomeNotBetter, text: text, findings: []jobs.Finding{{ID: "retrain:not-better", Severity: jobs.Info, Text: text}}}, nil
	}
	v := verdict{better: true, text: text}
	for _, name := range slices.Sorted(maps.Keys(o.Guards)) {
		if err := o.Guards[name].judge(name, now, before, &v); err != nil {
			return verdict{}, err
		}
	}
	return v, nil
}

// judge holds the candidate back when a guarded metric got worse.
func (g Guard) judge(name string, now, before map[string]float64, v *verdict) error {
	value, ok := now[name]
	if !ok {
		return unmeasured("candidate", name)
	}
	old, ok := before[name]
	if !ok {
		return unmeasured("incumbent", name)
	}
	slack := rounding * max(math.Abs(value), math.Abs(old))
	if worse := -improvement(g.Better, value, old); worse > g.Tolerance+slack {
		v.outcome = outcomeHeldBack
		v.findings = append(v.findings, jobs.Finding{
			ID: jobs.FindingIDFrom("retrain:guard:" + name), Severity: jobs.Warning,
			Text: fmt.Sprintf("the candidate is better but held back: %s is %s, worse than %s by more than %s", name, number(value), number(old), number(g.Tolerance)),
		})
	}
	return nil
}

func held(id, text string) verdict {
	return verdict{outcome: outcomeHeldBack, text: text, findings: []jobs.Finding{{ID: id, Severity: jobs.Warning, Text: text}}}
}

// improvement is by how much a value is better than another one.
func improvement(better string, value, than float64) float64 {
	if better == lower {
		return than - value
	}
	return value - than
}

func unmeasured(role, name string) error {
	return jobs.WithHint(fmt.Errorf("evaluate did not report %s of the %s", name, role), "let evaluate write the value, or correct the name")
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
