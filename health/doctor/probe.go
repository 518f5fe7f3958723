package doctor

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Probe is a probe to run.
type Probe struct {
	// Name and Kind say which, Impact what its failure means for users: outage,
	// degraded or none.
	Name, Kind, Impact string
	// Within bounds it; 0 means DefaultWithin.
	Within time.Duration
	// Open makes it and returns the secrets that it sees, also beside an error.
	Open func() (jobs.Job, []string, error)
	// Env is the world in which it runs, without an Out. Effects must be those of
	// a dry run.
	Env func(out *bytes.Buffer, scrub func(string) string) *jobs.Env
	// Next is the command that comes next when it is not well.
	Next string
}

// Answer is what a probe said.
type Answer struct {
	Name, Kind string
	State      State
	// Message is one line; ErrorKind one word for why there is no answer.
	Message, ErrorKind string
	TookSeconds        float64
	// Phases are the times of the phases of a conversation, in seconds: dns,
	// connect, tls, auth, query, first_byte, total.
	Phases   map[string]float64 `json:",omitempty"`
	Values   map[string]float64 `json:",omitempty"`
	Findings []jobs.Finding     `json:",omitempty"`
	Output   []string           `json:",omitempty"`
}

// phases are the values of probes that tell how long something took, in the
// order in which it happens.
func phases() []string {
	return []string{"dns_seconds", "connect_seconds", "tls_seconds", "auth_seconds", "query_seconds", "banner_seconds", "first_byte_seconds", "total_seconds"}
}

// Probes returns a step that runs probes, all at once, each with a deadline of
// its own. Secrets get those that the probes see.
func Probes(name, title string, list []Probe, secrets *Secrets) Step {
	longest := DefaultWithin
	for _, p := range list {
		longest = max(longest, p.Within)
	}
	return Step{Name: name, Title: title, Within: longest + time.Second, Look: func(ctx context.Context) (Found, error) {
		answers := make([]Answer, len(list))
		var all sync.WaitGroup
		for i, p := range list {
			all.Go(func() { answers[i] = p.ask(ctx, secrets) })
		}
		all.Wait()
		return tell(list, answers), nil
	}}
}

// ask runs a probe.
func (p Probe) ask(ctx context.Context, secrets *Secrets) Answer {
	a := Answer{Name: p.Name, Kind: p.Kind, State: Unknown}
	job, seen, err := p.Open()
	secrets.Add(seen...)
	if err != nil {
		a.Message = line("it cannot be made: " + err.Error())
		return a
	}
	within := p.Within
	if within <= 0 {
		within = DefaultWithin
	}
	known := secrets.redactor()
	type said struct {
		result jobs.Result
		output string
	}
	began := time.Now()
	s, err := bounded(ctx, within, func(ctx context.Context) (said, error) {
		var out bytes.Buffer
		result, err := job.Run(ctx, p.Env(&out, known.text))
		return said{result, out.String()}, err
	})
	a.TookSeconds = seconds(time.Since(began))
	a.Values, a.Findings, a.Message, a.ErrorKind = s.result.Values, s.result.Findings, s.result.Summary, s.result.Outputs["error_kind"]
	a.Output = split(s.output)
	if err != nil {
		a.State, a.Message = Critical, line(err.Error())
		if hint := jobs.HintOf(err); hint != "" {
			a.Message += " (" + line(hint) + ")"
		}
		return a
	}
	for _, phase := range phases() {
		if v, ok := a.Values[phase]; ok {
			if a.Phases == nil {
				a.Phases = map[string]float64{}
			}
			a.Phases[strings.TrimSuffix(phase, "_seconds")] = v
		}
	}
	a.State = Healthy
	switch s.result.Worst() {
	case jobs.Critical:
		a.State = Critical
	case jobs.Warning:
		a.State = Warning
	case jobs.Info:
	}
	return a
}

func split(text string) []string {
	if text = strings.TrimRight(text, "\n"); text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// harmless is the impact of a check on whose failure nobody depends.
const harmless = "none"

// tell makes findings of answers.
func tell(list []Probe, answers []Answer) Found {
	f := Found{Facts: answers, Lines: []string{}}
	well := 0
	for i, a := range answers {
		if a.State == Healthy {
			well++
		}
		f.Lines = append(f.Lines, a.line())
		worst := jobs.Severity("")
		switch a.State {
		case Critical:
			worst = jobs.Critical
		case Warning:
			worst = jobs.Warning
		case Unknown:
			f.Unseen = append(f.Unseen, Unseen{What: a.Name, Why: a.Message, Grave: true})
		case Healthy:
		}
		if worst == jobs.Critical && list[i].Impact == harmless {
			worst = jobs.Warning
		}
		if worst != "" {
			f.Findings = append(f.Findings, Finding{
				ID: "probe:" + jobs.FindingIDFrom(a.Name), Severity: worst, Text: fmt.Sprintf("%s (%s): %s%s", a.Name, a.Kind, a.Message, a.slowest()),
				Means: meaning(a, list[i].Impact), Next: list[i].Next,
			})
		}
	}
	f.Summary = "none are configured"
	if len(answers) > 0 {
		f.Summary = fmt.Sprintf("%d of %d well", well, len(answers))
	}
	return f
}

// slowest names the phase that took most, when it took long enough to matter.
func (a Answer) slowest() string {
	const least = 0.5
	name, most := "", least
	for phase, took := range a.Phases {
		if phase != "total" && took > most {
			name, most = phase, took
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; most of the time went into %s (%.3f s)", name, most)
}

// meaning says what a probe that is not well means.
func meaning(a Answer, impact string) string {
	why := map[string]string{
		"dns":      "the name of the server cannot be resolved: look at this machine's resolver",
		"tcp":      "nobody accepts connections there: the server does not run, or something stands between",
		"tls":      "the server's certificate or its TLS is not what it should be",
		"timeout":  "the server is overloaded, or packets are dropped on the way",
		"auth":     "the server is there and does not accept user and password",
		"database": "the server is there and has no such database",
		"too_many": "the server has no connection left: a pool is too large, or leaks",
		"starting": "the server is starting, or recovers from a crash",
		"stopping": "the server is being stopped",
		"loading":  "the server reads its data",
		"status":   "the server answers, and says that it cannot serve",
		"body":     "the server answers with something else than expected",
	}[a.ErrorKind]
	if why != "" {
		return why
	}
	switch impact {
	case "outage":
		return "users cannot work while that lasts"
	case "degraded":
		return "users notice it"
	}
	return "see what it found"
}

func (a Answer) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s  %s (%s)  %s", a.State, a.Name, a.Kind, a.Message)
	for _, phase := range phases() {
		name := strings.TrimSuffix(phase, "_seconds")
		if v, ok := a.Phases[name]; ok {
			fmt.Fprintf(&b, "  %s %.1f ms", name, v*1000)
		}
	}
	return b.String()
}

// Notes are the findings of an answer as lines.
func (a Answer) Notes() []string {
	var out []string
	for _, f := range slices.SortedStableFunc(slices.Values(a.Findings), func(x, y jobs.Finding) int { return y.Severity.Rank() - x.Severity.Rank() }) {
		out = append(out, fmt.Sprintf("%s: %s", f.Severity, f.Text))
	}
	return out
}
