package reports

import (
	"strings"
	"time"
)

// Verdict is what is to be thought of a figure.
type Verdict string

// The verdicts.
const (
	// Met and Missed compare the figure with its target.
	Met    Verdict = "met"
	Missed Verdict = "missed"
	// Insufficient says that there is something on record, and too little of it
	// to tell.
	Insufficient Verdict = "insufficient data"
	// NoSource says that nothing on record could tell.
	NoSource Verdict = "no source"
)

// Verdicts lists all verdicts, the best first.
func Verdicts() []Verdict { return []Verdict{Met, Missed, Insufficient, NoSource} }

// Unit is in what a figure is measured.
type Unit string

// The units.
const (
	Share     Unit = "share"      // 0 to 1, shown as percent
	Seconds   Unit = "seconds"    // a duration
	PerMinute Unit = "per_minute" // so many in a minute
)

// Aim is what a figure is to reach.
type Aim struct {
	// Above tells that more is better.
	Above bool
	// Equal tells that the target itself will do.
	Equal  bool
	Target float64
	Unit   Unit
}

// Reached tells whether a value is good enough.
func (a Aim) Reached(v float64) bool {
	if v == a.Target {
		return a.Equal
	}
	return a.Above == (v > a.Target)
}

// verdict compares a value with the aim.
func (a Aim) verdict(v float64) Verdict {
	if a.Reached(v) {
		return Met
	}
	return Missed
}

// String writes the aim as people do: "> 99.9 %".
func (a Aim) String() string {
	sign := "<"
	if a.Above {
		sign = ">"
	}
	if a.Equal {
		sign += "="
	}
	return sign + " " + a.Unit.Format(a.Target)
}

// TrendParts is into how many parts a window is cut for a trend.
const TrendParts = 10

// Figure is one operational figure over a window.
type Figure struct {
	// Name is one of Names, Title says it in words.
	Name, Title string
	Aim         Aim
	Verdict     Verdict
	// Value is the figure in the unit of the aim when Known. Low and High bound
	// it; they are equal to it when it is exact.
	Value, Low, High float64
	Known            bool
	// Text is the figure as people read it; "-" when it is not known.
	Text string
	// N is what it rests on, Of what that counts: samples, requests, incidents.
	N  int64
	Of string
	// Coverage is for which share of the window something is on record; below 0
	// where that means nothing.
	Coverage float64
	// Source says in words where it comes from.
	Source string
	// Why says in one line what decided the verdict, Next what somebody can do
	// about it; both may be empty.
	Why, Next string
	// More are further figures beside it.
	More []Detail
	// Trend are the figures of equal parts of the window, the earliest first.
	Trend [TrendParts]Point
	// Rows are what the figure was computed from, in the order of time.
	Rows []Row
	// From and Until bound the window.
	From, Until time.Time
}

// Detail is a further figure, as people read it.
type Detail struct{ Name, Text string }

// Point is one point of a trend.
type Point struct {
	Value float64
	Known bool
}

// Row is one thing on record that a figure rests on.
type Row struct {
	// At is when, Until its end; the latter is zero for what has none.
	At, Until time.Time
	// What it is: the name of a series, a check, a workflow or a deploy.
	What string
	// ID is its own on record, or empty.
	ID string
	// Text says what it adds to the figure.
	Text string
}

// Rests says on how much the figure rests: "3 incidents"; "-" when on nothing.
func (f Figure) Rests() string {
	if f.N == 0 {
		return "-"
	}
	return plural(f.N, strings.TrimSuffix(f.Of, "s"))
}

// set gives the figure an exact value, its text and the verdict that follows.
func (f *Figure) set(v float64) {
	f.Value, f.Low, f.High, f.Known = v, v, v, true
	f.Text = f.Aim.Unit.Format(v)
	f.Verdict = f.Aim.verdict(v)
}

// short withdraws the verdict: there is too little to tell.
func (f *Figure) short(why, next string) {
	f.Verdict, f.Why, f.Next = Insufficient, why, next
}

// without says that nothing on record could tell.
func (f *Figure) without(why, next string) {
	f.Verdict, f.Why, f.Next, f.Coverage = NoSource, why, next, -1
}

// detail adds a further figure.
func (f *Figure) detail(name, text string) { f.More = append(f.More, Detail{name, text}) }

// trend computes the figure of each part of the window.
func (f *Figure) trend(w window, of func(window) (float64, bool)) {
	for i, part := range w.parts(TrendParts) {
		f.Trend[i].Value, f.Trend[i].Known = of(part)
	}
}
