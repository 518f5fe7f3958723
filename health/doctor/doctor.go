// Package doctor finds out how a machine and the upkeep on it are, as somebody
// would by hand at night: it looks in many places at once, gives each look a
// deadline of its own, says what it could not see, and judges what it saw, the
// worst first, with the command that comes next. It takes secrets out of
// everything before anybody gets to see it, and packs it for others (Bundle).
//
// It looks and judges; it changes nothing. What it cannot look at by itself,
// such as a configuration or a probe, it is given as functions.
package doctor

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Step is one look at one thing.
type Step struct {
	// Name is one word (jobs.ValidName), Title says in a few words what is
	// looked at.
	Name, Title string
	// Within bounds the look; 0 means DefaultWithin. A look that does not end in
	// time is left behind and counts as unseen.
	Within time.Duration
	// Look looks. An error means that nothing could be seen; what could be seen
	// in part is not an error, and the rest stands in Found.Unseen.
	Look func(ctx context.Context) (Found, error)
}

// DefaultWithin is how long a look may take that does not say otherwise.
const DefaultWithin = 10 * time.Second

// Found is what a look found.
type Found struct {
	// Summary is one line for people, without a final full stop.
	Summary string
	// Facts are encoded as JSON; nil for none.
	Facts any
	// Lines say the facts to people.
	Lines []string
	// Findings are what is wrong or worth knowing.
	Findings []Finding
	// Unseen is what could not be looked at.
	Unseen []Unseen
	// Files are kept as they are for the bundle.
	Files []File
}

// Finding is one thing that is wrong or worth knowing, and what to do.
type Finding struct {
	// ID is stable between looks (jobs.ValidFindingID).
	ID string `json:"id"`
	// Section is the name of the step that found it.
	Section string `json:"section"`
	// Severity is critical for what is broken, warning for what will be or may
	// be, info for what is only worth knowing.
	Severity jobs.Severity `json:"severity"`
	// Text is one line: what, with the value and the limit it broke.
	Text string `json:"text"`
	// Means says what follows from it.
	Means string `json:"means"`
	// Next is the command that comes next; empty when none helps.
	Next string `json:"next"`
}

// Unseen is something that could not be looked at, and why.
type Unseen struct {
	Section string `json:"section"`
	What    string `json:"what"`
	Why     string `json:"why"`
	// Grave tells that it should have been seen: a look that hung or failed,
	// and not only one that this user may not take.
	Grave bool `json:"grave"`
}

// File is something kept as it is.
type File struct {
	// Name is one path segment.
	Name    string
	Content string
	// End tells that the end matters most when it has to be cut.
	End bool
}

// Section is what became of a step.
type Section struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// State is how it is there: healthy, warning, critical, or unknown when
	// nothing could be seen.
	State       State    `json:"state"`
	Summary     string   `json:"summary"`
	TookSeconds float64  `json:"took_seconds"`
	Facts       any      `json:"facts"`
	Lines       []string `json:"-"`
	Files       []File   `json:"-"`
}

// State is how a section is.
type State string

// The states of sections.
const (
	Healthy  State = "healthy"
	Warning  State = "warning"
	Critical State = "critical"
	Unknown  State = "unknown"
)

// Verdict is what all sections come to.
type Verdict string

// The verdicts, the best first.
const (
	Well     Verdict = "well"
	Warnings Verdict = "warnings"
	Broken   Verdict = "broken"
)

// Report is what an examination found. It holds no secret that was known or
// that looks like one.
type Report struct {
	Schema      int       `json:"schema"`
	Version     string    `json:"version"`
	Host        string    `json:"host"`
	Node        string    `json:"node"`
	Project     string    `json:"project"`
	Config      string    `json:"config"`
	At          time.Time `json:"at"`
	TookSeconds float64   `json:"took_seconds"`
	Verdict     Verdict   `json:"verdict"`
	// Findings are sorted: the worst first, then in the order of the sections.
	Findings []Finding `json:"findings"`
	Unseen   []Unseen  `json:"unseen"`
	Sections []Section `json:"sections"`
}

// reportSchema is the version of the JSON form of Report.
const reportSchema = 1

// Broken returns how many findings are critical, and Warned how many are
// warnings or things that should have been seen.
func (r *Report) Broken() int { return r.count(jobs.Critical) }

// Warned is the counterpart of Broken.
func (r *Report) Warned() int {
	n := r.count(jobs.Warning)
	for _, u := range r.Unseen {
		if u.Grave {
			n++
		}
	}
	return n
}

func (r *Report) count(s jobs.Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Next returns the commands that come next, the most urgent first, each once.
func (r *Report) Next() []string {
	seen := map[string]bool{}
	var out []string
	for _, f := range r.Findings {
		if f.Next != "" && !seen[f.Next] && f.Severity.Rank() >= jobs.Warning.Rank() {
			seen[f.Next] = true
			out = append(out, f.Next)
		}
	}
	return out
}
