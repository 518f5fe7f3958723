package ledger

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
)

// Limits of one attempt's result, in entries.
const (
	maxValues    = 1000
	maxOutputs   = 200
	maxFindings  = 1000
	maxArtifacts = 10_000
	maxEvents    = 200
)

// encodeResult returns a result as JSON, made storable: texts as clean makes
// them, lists cut at their limits, numbers finite. What was left out is said
// in a finding of severity info. It also returns the result as stored.
func encodeResult(r jobs.Result) (string, jobs.Result, error) {
	stored := jobs.Result{Summary: cleanLine(r.Summary, maxLine)}
	var notes []string
	stored.Values, notes = storableValues(r.Values)
	if len(r.Outputs) > 0 {
		stored.Outputs = make(map[string]string, len(r.Outputs))
		for _, name := range slices.Sorted(maps.Keys(r.Outputs))[:min(len(r.Outputs), maxOutputs)] {
			stored.Outputs[cleanLine(name, maxName)] = clean(r.Outputs[name], maxLine)
		}
	}
	for _, f := range r.Findings[:min(len(r.Findings), maxFindings)] {
		if f.Severity.Rank() < 0 {
			notes = append(notes, fmt.Sprintf("finding %q had the unknown severity %q", cleanLine(f.ID, maxName), cleanLine(string(f.Severity), maxName)))
			f.Severity = jobs.Warning
		}
		stored.Findings = append(stored.Findings, jobs.Finding{ID: cleanLine(f.ID, maxName), Severity: f.Severity, Text: cleanLine(f.Text, maxLine)})
	}
	for _, a := range r.Artifacts[:min(len(r.Artifacts), maxArtifacts)] {
		a.Store, a.Key, a.SHA256 = clean(a.Store, maxName), clean(a.Key, maxLine), clean(a.SHA256, maxName)
		stored.Artifacts = append(stored.Artifacts, a)
	}
	for _, e := range r.Events[:min(len(r.Events), maxEvents)] {
		if checkName("", e.Kind) != nil {
			notes = append(notes, fmt.Sprintf("an event had the unusable kind %q", cleanLine(e.Kind, maxName)))
			continue
		}
		stored.Events = append(stored.Events, jobs.Event{Kind: e.Kind, Subject: cleanLine(e.Subject, maxShortText), Text: cleanLine(e.Text, maxLine)})
	}
	for _, list := range []struct {
		what      string
		had, kept int
	}{
		{"outputs", len(r.Outputs), maxOutputs},
		{"findings", len(r.Findings), maxFindings},
		{"artifacts", len(r.Artifacts), maxArtifacts},
		{"events", len(r.Events), maxEvents},
	} {
		if list.had > list.kept {
			notes = append(notes, fmt.Sprintf("%d of %d %s are on record", list.kept, list.had, list.what))
		}
	}
	if len(notes) > 0 {
		stored.Findings = append(stored.Findings, jobs.Finding{
			ID: "upkeep/result-changed", Severity: jobs.Info,
			Text: cleanLine("not everything was recorded as reported: "+strings.Join(notes, "; "), maxLine),
		})
	}
	text, err := json.Marshal(stored)
	return string(text), stored, err
}

// storableValues returns the values that are finite numbers, at most maxValues
// of them, and notes about the others.
func storableValues(values map[string]float64) (map[string]float64, []string) {
	if len(values) == 0 {
		return nil, nil
	}
	stored := make(map[string]float64, len(values))
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			notes = append(notes, fmt.Sprintf("value %q was %v, not a finite number", cleanLine(name, maxName), v))
		case len(stored) < maxValues:
			stored[cleanLine(name, maxName)] = v
		}
	}
	if len(values) > maxValues {
		notes = append(notes, fmt.Sprintf("%d of %d values are on record", len(stored), len(values)))
	}
	return stored, notes
}

// decodeResult is the inverse of encodeResult. A text that this program cannot
// read, such as one of a newer version, must not hide the attempt it belongs
// to, so the reader is told in its place.
func decodeResult(text string) jobs.Result {
	var r jobs.Result
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return jobs.Result{Summary: fmt.Sprintf("(the recorded result cannot be read: %v)", err)}
	}
	return r
}
