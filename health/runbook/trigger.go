package runbook

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
)

// Trigger says which reports of a check start a runbook.
type Trigger struct {
	// Check is the name of the check.
	Check string
	// Value is the name of one of its values, which Above or Below bounds; empty
	// when its health counts.
	Value        string
	Above, Below *float64
	// Is is the health that starts the runbook: critical, warning (or worse) or
	// unknown. Beside a Value it only says where the limit comes from.
	Is runner.Health
	// For is how long that must hold, by every answer.
	For time.Duration
	// ErrorKinds restricts it to answers with one of these kinds of errors;
	// empty means any answer.
	ErrorKinds []string
	// Evidence tells that the runbook only gathers evidence: it is not judged by
	// the check, and what speaks against a remedy does not speak against it.
	Evidence bool
}

// Holds tells whether a report is one that starts the runbook. Health counts
// only together with the latest answer: a check that is recovering does not.
func (t Trigger) Holds(r runner.CheckReport) bool {
	if len(t.ErrorKinds) > 0 && !slices.Contains(t.ErrorKinds, r.ErrorKind) {
		return false
	}
	if t.Value == "" {
		return t.bad(r.Health) && t.bad(r.Answer)
	}
	v, ok := r.Values[t.Value]
	return ok && (t.Above != nil && v > *t.Above || t.Below != nil && v < *t.Below)
}

// Well tells whether a report shows that nothing is left of what starts the
// runbook: a value on the right side of its limit, or a health that is better
// and known.
func (t Trigger) Well(r runner.CheckReport) bool {
	if t.Value == "" {
		return t.good(r.Health) && t.good(r.Answer)
	}
	_, ok := r.Values[t.Value]
	return ok && !Trigger{Value: t.Value, Above: t.Above, Below: t.Below}.Holds(r)
}

func (t Trigger) bad(h runner.Health) bool {
	switch t.Is {
	case runner.HealthWarning:
		return h == runner.HealthWarning || h == runner.HealthCritical
	default:
		return h == t.Is
	}
}

func (t Trigger) good(h runner.Health) bool {
	return h == runner.Healthy || h == runner.HealthWarning && t.Is != runner.HealthWarning
}

// String says in words what starts the runbook, such as "system:
// memory_percent above 95 for 5m".
func (t Trigger) String() string {
	var limits []string
	if t.Value == "" {
		word := string(t.Is)
		if t.Is == runner.HealthWarning {
			word += " or worse"
		}
		limits = append(limits, word)
	}
	if t.Above != nil {
		limits = append(limits, "above "+number(*t.Above))
	}
	if t.Below != nil {
		limits = append(limits, "below "+number(*t.Below))
	}
	text := t.Check + ": "
	if t.Value != "" {
		text += t.Value + " "
	}
	text += strings.Join(limits, " or ")
	if len(t.ErrorKinds) > 0 {
		text += " (" + strings.Join(t.ErrorKinds, ", ") + ")"
	}
	if t.For > 0 {
		text += " for " + unit.Duration(t.For).String()
	}
	if t.Evidence {
		text += ", for evidence"
	}
	return text
}

// Describe says in one line what a report says about the trigger.
func (t Trigger) Describe(r runner.CheckReport) string {
	text := fmt.Sprintf("%s is %s", r.Name, r.Health)
	if v, ok := r.Values[t.Value]; ok && t.Value != "" {
		text = fmt.Sprintf("%s of %s is %s", t.Value, r.Name, number(v))
	}
	if r.ErrorKind != "" {
		text += " (" + r.ErrorKind + ")"
	}
	if r.Message != "" {
		text += ": " + r.Message
	}
	return text
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
