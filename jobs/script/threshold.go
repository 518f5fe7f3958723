package script

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
)

// Threshold says what a value must not be.
type Threshold struct {
	Warn     Range `yaml:"warn" doc:"The range outside which the value is a warning." example:"0.9:"`
	Crit     Range `yaml:"crit" doc:"The range outside which the value is critical." example:"0.8:"`
	Trend    Trend `yaml:"trend" doc:"How much worse than in earlier runs the value may be."`
	After    int   `yaml:"after" doc:"How many runs in a row must break a limit until it counts; by default 1. Until then the finding is an info." example:"2"`
	Optional bool  `yaml:"optional" doc:"The value may be missing; else that is a finding."`
}

// Trend compares a value with the median of earlier ones.
type Trend struct {
	Worse      string  `yaml:"worse" enum:"up,down" doc:"In which direction the value gets worse." example:"down"`
	Warn       Percent `yaml:"warn" doc:"Worse than the median by more than this part of it is a warning." example:"25%"`
	Crit       Percent `yaml:"crit" doc:"Worse than the median by more than this part of it is critical." example:"100%"`
	Last       int     `yaml:"last" doc:"How many earlier values the median is taken of, at most; by default 10." example:"10"`
	MinHistory int     `yaml:"min_history" doc:"How many earlier values there must be; by default 3. With fewer nothing is compared." example:"5"`
	WarmUp     int     `yaml:"warm_up" doc:"How many of the first values ever are left out, neither compared nor compared with." example:"2"`
	Floor      float64 `yaml:"floor" doc:"Differences up to this number never count, so that tiny values do not alert." example:"0.01"`
}

// Defaults and bounds of what a threshold looks back at.
const (
	defaultLast       = 10
	defaultMinHistory = 3
	mostLast          = 200
	mostAfter         = 20
)

const (
	worseUp   = "up"
	worseDown = "down"
)

func (t Trend) isNone() bool { return t == Trend{} }

func (t Trend) last() int { return orElse(t.Last, defaultLast) }

func (t Trend) minHistory() int { return orElse(t.MinHistory, min(defaultMinHistory, t.last())) }

func (t Threshold) after() int { return orElse(t.After, 1) }

func orElse(given, def int) int {
	if given == 0 {
		return def
	}
	return given
}

// looksBack is how many earlier runs t needs.
func (t Threshold) looksBack() int {
	n := t.after() - 1
	if !t.Trend.isNone() {
		n += t.Trend.last() + t.Trend.WarmUp
	}
	return n
}

// isPattern tells whether the name of a threshold stands for several values.
func isPattern(name string) bool { return strings.Contains(name, "*") }

// governing returns the name of the threshold for a value: its own, or else
// that of the pattern which says most about it.
func governing(thresholds map[string]Threshold, value string) (string, bool) {
	if _, ok := thresholds[value]; ok {
		return value, true
	}
	best := ""
	for _, name := range slices.Sorted(maps.Keys(thresholds)) {
		if isPattern(name) && matches(name, value) && literal(name) >= literal(best) {
			best = name
		}
	}
	return best, best != ""
}

// matches compares a value's name with a pattern in which * stands for any
// text; names hold no slash, which would stop it.
func matches(pattern, value string) bool {
	ok, err := path.Match(pattern, value)
	return ok && err == nil
}

func literal(pattern string) int { return len(pattern) - strings.Count(pattern, "*") }

func (o *Options) validateThresholds() []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(o.Thresholds)) {
		at, t := "thresholds."+name, o.Thresholds[name]
		switch {
		case !jobs.ValidName(strings.ReplaceAll(name, "*", "a")):
			errs = append(errs, jobs.Fieldf(at, "%q is not the name of a value: use a-z, 0-9, _, . and -, and * for any text", name))
		case t.Warn.isNone() && t.Crit.isNone() && t.Trend.isNone():
			errs = append(errs, &jobs.FieldError{Field: at, Why: "it has neither warn, crit nor trend, so it would never alert", Hint: `write for example {warn: "0.9:", crit: "0.8:"}`})
		case t.After < 0 || t.After > mostAfter:
			errs = append(errs, jobs.Fieldf(at+".after", "%d is out of range: use 1 to %d", t.After, mostAfter))
		}
		if !t.Trend.isNone() {
			errs = append(errs, t.Trend.validate(at+".trend")...)
		}
	}
	return errs
}

func (t Trend) validate(at string) []error {
	var errs []error
	if t.Worse != worseUp && t.Worse != worseDown {
		errs = append(errs, &jobs.FieldError{Field: at + ".worse", Why: fmt.Sprintf("%q is neither up nor down", t.Worse), Hint: "say in which direction the value gets worse: up for times, down for an accuracy"})
	}
	if t.Warn == 0 && t.Crit == 0 {
		errs = append(errs, jobs.Fieldf(at, "it has neither warn nor crit, so it would never alert"))
	}
	if t.Last < 0 || t.Last > mostLast {
		errs = append(errs, jobs.Fieldf(at+".last", "%d is out of range: use 1 to %d", t.Last, mostLast))
	}
	if t.MinHistory < 0 || t.MinHistory > t.last() {
		errs = append(errs, jobs.Fieldf(at+".min_history", "%d is out of range: use 1 to %d, as many as are compared with", t.MinHistory, t.last()))
	}
	if t.WarmUp < 0 || t.WarmUp > mostLast {
		errs = append(errs, jobs.Fieldf(at+".warm_up", "%d is out of range: use 0 to %d", t.WarmUp, mostLast))
	}
	if t.Floor < 0 {
		errs = append(errs, jobs.Fieldf(at+".floor", "a difference is never below 0"))
	}
	return errs
}
