package health

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// The kinds of errors, as reports and samples name them.
const (
	errorDNS      = "dns"
	errorConnect  = "connect"
	errorTLS      = "tls"
	errorAuth     = "auth"
	errorTimeout  = "timeout"
	errorStatus   = "status"
	errorBody     = "body"
	errorInternal = "internal"
)

// outputErrorKind is the output in which probes say why they could not ask.
const outputErrorKind = "error_kind"

// mostEvidence bounds one piece of evidence, in bytes.
const mostEvidence = 64 << 10

// Outcome is one answer, judged.
type Outcome struct {
	// Health is what it says, with the impact considered; Down tells that it was
	// critical whatever the impact.
	Health runner.Health
	Down   bool
	// Message says it in one line; ErrorKind is one word, empty when there was
	// an answer.
	Message, ErrorKind string
	Values             map[string]float64
	// At is when the answer came, Took how long it took.
	At   time.Time
	Took time.Duration
	// Void tells that the answer does not count: nothing can be said.
	Void bool

	evidence []runner.Evidence
}

// Judge says what an answer of a probe means. output is what the probe said on
// the way; scrub takes secrets out of a text.
func Judge(c Check, a jobs.Answer, at time.Time, output string, scrub func(string) string) Outcome {
	o := Outcome{Values: a.Result.Values, At: at, Took: a.Took}
	_, exited := errors.AsType[jobs.ExitCoder](a.Err)
	switch {
	case a.Late:
		o.Health, o.ErrorKind = runner.HealthCritical, errorTimeout
	case a.Panicked:
		o.Health, o.ErrorKind = runner.HealthUnknown, errorInternal
	case exited: // a program ran, and says no
		o.Health, o.ErrorKind = runner.HealthCritical, errorStatus
	case a.Err != nil:
		o.Health, o.ErrorKind = runner.HealthUnknown, errorInternal
	default:
		o.Health, o.ErrorKind = healthOf(a.Result.Worst()), errorKindOf(a.Result)
	}
	o.Down = o.Health == runner.HealthCritical
	if c.Impact == runner.ImpactNone && o.Down {
		o.Health = runner.HealthWarning
	}
	o.Message = jobs.OneLine(scrub(messageOf(a)))
	if o.Health != runner.Healthy {
		o.evidence = evidenceOf(o, a, output, scrub)
	}
	return o
}

func healthOf(worst jobs.Severity) runner.Health {
	switch worst {
	case jobs.Critical:
		return runner.HealthCritical
	case jobs.Warning:
		return runner.HealthWarning
	case jobs.Info:
	}
	return runner.Healthy
}

func messageOf(a jobs.Answer) string {
	if a.Err == nil {
		return a.Result.Summary
	}
	text := a.Err.Error()
	if hint := jobs.HintOf(a.Err); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

// errorKindOf names why a probe could not ask: by what it says itself, or by
// its findings, whose IDs read kind:what.
func errorKindOf(r jobs.Result) string {
	if word := r.Outputs[outputErrorKind]; word != "" {
		return cmp.Or(errorKindNamed(word), errorStatus)
	}
	for _, f := range r.Findings {
		if f.Severity != jobs.Critical {
			continue
		}
		_, rest, _ := strings.Cut(f.ID, ":")
		word, _, _ := strings.Cut(rest, ":")
		if kind := errorKindNamed(word); kind != "" {
			return kind
		}
	}
	return ""
}

// errorKindNamed translates a probe's word; empty for one that names no fault.
func errorKindNamed(word string) string {
	switch word {
	case errorDNS, errorTLS, errorAuth, errorTimeout, errorStatus, errorBody:
		return word
	case "tcp", errorConnect:
		return errorConnect
	case "permission":
		return errorAuth
	case "limited", "redirect", "too_many", "starting", "stopping", "database", "server":
		return errorStatus
	case "header", "protocol":
		return errorBody
	}
	return ""
}

// unreached tells whether an answer only says that nothing came back, which a
// fault of this machine's own network explains as well.
func (o Outcome) unreached() bool {
	switch o.ErrorKind {
	case errorDNS, errorConnect, errorTLS, errorTimeout:
		return o.Health != runner.Healthy
	}
	return false
}

// evidenceOf is what an answer leaves behind for those who look later.
func evidenceOf(o Outcome, a jobs.Answer, output string, scrub func(string) string) []runner.Evidence {
	var b strings.Builder
	fmt.Fprintf(&b, "%s after %s: %s\n", o.Health, o.Took.Round(time.Millisecond), o.Message)
	for _, f := range a.Result.Findings {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.ID, scrub(f.Text))
	}
	list := []runner.Evidence{{Name: "answer", Text: tail(b.String(), mostEvidence)}}
	b.Reset()
	for _, name := range slices.Sorted(maps.Keys(a.Result.Values)) {
		fmt.Fprintf(&b, "%s %v\n", name, a.Result.Values[name])
	}
	if b.Len() > 0 {
		list = append(list, runner.Evidence{Name: "values", Text: tail(b.String(), mostEvidence)})
	}
	if output != "" {
		list = append(list, runner.Evidence{Name: "output", Text: tail(output, mostEvidence)})
	}
	return list
}

// Report is what is known of a check that was asked once: this answer.
func (o Outcome) Report(c Check) runner.CheckReport {
	r := runner.CheckReport{
		Name: c.Name, Kind: c.Kind, Impact: c.Impact, Health: o.Health, Answer: o.Health, Phase: runner.CheckWell,
		Message: o.Message, ErrorKind: o.ErrorKind, Values: o.Values, At: o.At.UTC(), Took: o.Took, Since: o.At.UTC(), Every: c.Every,
	}
	switch {
	case o.Void:
	case o.Health == runner.Healthy:
		r.LastGood = r.At
	default:
		r.Phase, r.FirstBad = runner.CheckFailing, r.At
	}
	return r
}
