package alerts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// Raised is what somebody says is wrong: a person, or a program that upkeep
// does not run.
type Raised struct {
	// Type is one word for what it is; the same type is the same fault.
	Type string
	// Message says it in one line. Severity is warning when it is empty.
	Message  string
	Severity jobs.Severity
	// Metadata is what else there is to know, by name.
	Metadata map[string]string
}

// RaisedFingerprint identifies what somebody raised.
func RaisedFingerprint(kind string) string { return "alert/" + kind }

// Raised is the fault that somebody raised at an instant. The error is a
// *jobs.FieldError.
func (p *Policy) Raised(r Raised, at time.Time) (runner.Fault, error) {
	if !jobs.ValidName(r.Type) {
		return runner.Fault{}, jobs.Fieldf("type", "%q is not one word of a-z, 0-9, _ and -", r.Type)
	}
	if strings.TrimSpace(r.Message) == "" {
		return runner.Fault{}, jobs.Fieldf("message", "it says nothing")
	}
	switch r.Severity {
	case "":
		r.Severity = jobs.Warning
	case jobs.Info, jobs.Warning, jobs.Critical:
	default:
		return runner.Fault{}, jobs.Fieldf("severity", "%q is none of info, warning and critical", r.Severity)
	}
	f := runner.Fault{
		Fingerprint: RaisedFingerprint(r.Type), Severity: r.Severity, Reason: ReasonRaised, At: at,
		Title: jobs.OneLine(r.Type + ": " + r.Message),
	}
	if len(r.Metadata) > 0 {
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(r.Metadata)) {
			pairs = append(pairs, name+"="+r.Metadata[name])
		}
		f.Title = jobs.OneLine(fmt.Sprintf("%s (%s)", f.Title, strings.Join(pairs, ", ")))
		f.Evidence = []runner.Evidence{{Name: "metadata", Text: strings.Join(pairs, "\n")}}
	}
	return p.address(f), nil
}
