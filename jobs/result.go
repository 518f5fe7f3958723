package jobs

import (
	"fmt"

	"github.com/ghosteam/upkeep/storage/object"
)

// ResultSchema is the version of the JSON form of Result. Scripts write the
// same form to the file named by UPKEEP_RESULT.
const ResultSchema = 1

// Result is what an attempt found out and made. There is one schema for all of
// upkeep: kinds return it, scripts write it as JSON, the ledger stores it and
// the command line and the API show it.
type Result struct {
	// Summary is one line for people, without a final full stop.
	Summary string `json:"summary,omitempty"`
	// Values are measurements by name (ValidName), finite numbers in the unit
	// that the name, or its part before a dot and what it is about, ends in
	// (_bytes, _seconds, _percent), or plain counts.
	Values map[string]float64 `json:"values,omitempty"`
	// Outputs are short facts by name (ValidName; at most 4 KiB each) that later
	// jobs of the run may test in `if:` and later runs of the job may read back.
	Outputs map[string]string `json:"outputs,omitempty"`
	// Findings are what a person should know about. They never stand for a
	// crash: a job that could not do its work returns an error.
	Findings []Finding `json:"findings,omitempty"`
	// Artifacts are the objects that the attempt put into stores, manifests
	// included.
	Artifacts []object.Info `json:"artifacts,omitempty"`
	// Events are what the attempt changed about the system, for those who ask
	// later what had changed before something broke.
	Events []Event `json:"events,omitempty"`
}

// Event is one change of the system that others should know of: a package that
// was updated, a service that was restarted, a certificate that was renewed.
type Event struct {
	// Kind is one word (ValidName), such as packages, restart, certificate or
	// deploy.
	Kind string `json:"kind"`
	// Subject is what changed, such as the name of the package or the service.
	Subject string `json:"subject"`
	// Text says how, in one line: "3.0.14 to 3.0.15".
	Text string `json:"text"`
}

// Finding is one observation with a severity.
type Finding struct {
	// ID is stable across runs (ValidFindingID), so that the same trouble can
	// be recognized tomorrow.
	ID string `json:"id"`
	// Severity says how bad it is.
	Severity Severity `json:"severity"`
	// Text is one line for people: what, the value and the limit it broke.
	Text string `json:"text"`
}

// Severity orders findings.
type Severity string

// The severities, from harmless to bad.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Rank returns 0 for Info, 1 for Warning, 2 for Critical and -1 for any other
// word, so that severities can be compared.
func (s Severity) Rank() int {
	switch s {
	case Info:
		return 0
	case Warning:
		return 1
	case Critical:
		return 2
	}
	return -1
}

// UnmarshalText reads one of the three words.
func (s *Severity) UnmarshalText(text []byte) error {
	if Severity(text).Rank() < 0 {
		return fmt.Errorf("%q is not a severity: use info, warning or critical", text)
	}
	*s = Severity(text)
	return nil
}

// Worst returns the highest severity among the findings of r, and the empty
// string when there are none.
func (r Result) Worst() Severity {
	worst := Severity("")
	for _, f := range r.Findings {
		if f.Severity.Rank() > worst.Rank() {
			worst = f.Severity
		}
	}
	return worst
}
