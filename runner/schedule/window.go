package schedule

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// OnClose is what happens to a run that is still under way when its window
// closes.
type OnClose string

// The choices. The empty OnClose means OnCloseWarn.
const (
	OnCloseWarn OnClose = "warn" // it goes on, and somebody is told
	OnCloseStop OnClose = "stop" // it is canceled
)

// WindowRule is a maintenance window as it stands in the configuration.
type WindowRule struct {
	// Allow lists when runs may start; empty means always. Each item is one of
	//	22:00-05:00             every day; past midnight when the end is earlier
	//	mon-fri 22:00-05:00     the days are those on which it begins
	//	sat,sun                 whole days
	//	fri 22:00-mon 05:00     from one moment of the week to another
	//	2026-12-24..2027-01-02  whole days of the calendar, both included
	//	12-24..01-02            the same, every year
	Allow []string
	// Blackout lists when runs may not start, in the same form. It wins.
	Blackout []string
	// OnClose is what happens to what still runs at the close.
	OnClose OnClose
	// Zone is the zone of all times; nil means UTC.
	Zone *time.Location
}

// Window is a checked WindowRule. It is immutable and safe for concurrent use.
// The zero Window is always open. It follows the wall clock: a time that occurs
// twice is open, or closed, both times.
type Window struct {
	w *window
}

type window struct {
	zone            *time.Location
	onClose         OnClose
	allow, blackout []span
	text            string
}

// windowReach is how far ahead a window is searched for its next change: a bit
// more than a year, so that dates of every year are found.
const windowReach = 400 * daySeconds

// ParseWindow checks rule and compiles it. Its error is a [*ParseError] whose
// Field is "allow", "blackout" or "on_close" and whose Item is the index in the
// list. A window that is never open is an error.
func ParseWindow(rule WindowRule) (Window, error) {
	w := &window{zone: rule.Zone, onClose: rule.OnClose}
	if w.zone == nil {
		w.zone = time.UTC
	}
	switch w.onClose {
	case "":
		w.onClose = OnCloseWarn
	case OnCloseWarn, OnCloseStop:
	default:
		return Window{}, &ParseError{Field: "on_close", Text: string(rule.OnClose), Why: "unknown choice", Hint: "write warn or stop"}
	}
	var err error
	if w.allow, err = parseSpans("allow", rule.Allow); err != nil {
		return Window{}, err
	}
	if w.blackout, err = parseSpans("blackout", rule.Blackout); err != nil {
		return Window{}, err
	}
	w.text = describeWindow(rule)
	if w.neverOpen() {
		return Window{}, &ParseError{
			Field: "blackout", Text: strings.Join(rule.Blackout, "; "), Why: "it covers all of the time that is allowed", Hint: "leave some time open",
		}
	}
	return Window{w}, nil
}

func parseSpans(field string, texts []string) ([]span, error) {
	var list []span
	for i, text := range texts {
		s, f := parseSpan(text)
		if f != nil {
			err := f.in(field, text)
			err.Item = i
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// neverOpen reports whether the yearly and weekly spans leave nothing open.
// Dates of one year do not count: they pass.
func (w *window) neverOpen() bool {
	lasting := &window{zone: time.UTC, allow: w.allow, blackout: slices.DeleteFunc(slices.Clone(w.blackout), span.passes)}
	_, ok := lasting.flip(reference, true)
	return !ok && !slices.ContainsFunc(w.allow, span.passes)
}

// IsZero reports whether w is the zero Window.
func (w Window) IsZero() bool { return w.w == nil }

// OnClose returns what happens to what still runs at the close.
func (w Window) OnClose() OnClose {
	if w.w == nil {
		return OnCloseWarn
	}
	return w.w.onClose
}

// String writes the window for people, such as
// "mon-fri 22:00-05:00, except 12-24..01-02".
func (w Window) String() string {
	if w.w == nil {
		return "always"
	}
	return w.w.text
}

// Open reports whether a run may start at t.
func (w Window) Open(t time.Time) bool {
	if w.w == nil {
		return true
	}
	_, offset := t.In(w.w.zone).Zone()
	return w.w.open(wall(t.Unix() + int64(offset)))
}

// Closes returns the first instant after t at which the window is closed, in
// UTC; t itself when it is closed at t; and false when it does not close within
// the next 400 days.
func (w Window) Closes(t time.Time) (time.Time, bool) { return w.change(t, false) }

// Opens returns the first instant from t on at which the window is open, in
// UTC: t itself when it is open at t; and false when it does not open within
// the next 400 days.
func (w Window) Opens(t time.Time) (time.Time, bool) { return w.change(t, true) }

// Fits reports whether a run that usually takes so long may start at t: the
// window is open, and it does not close before the run would have ended. With
// an unknown duration, 0, it is enough that the window is open.
func (w Window) Fits(t time.Time, usual time.Duration) bool {
	if !w.Open(t) {
		return false
	}
	closes, ok := w.Closes(t)
	return !ok || !t.Add(usual).After(closes)
}

func (w Window) change(t time.Time, open bool) (time.Time, bool) {
	if w.Open(t) == open {
		return t.UTC(), true
	}
	if w.w == nil {
		return time.Time{}, false
	}
	unix, ok := w.w.flip(t.Unix(), open)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(unix, 0).UTC(), true
}

// flip returns the first instant from at on at which the window is open, or
// closed, as wanted.
func (w *window) flip(at int64, open bool) (int64, bool) {
	limit := at + windowReach
	for at < limit {
		s := stretchAt(w.zone, at)
		end := wall(min(limit, s.to) + s.offset)
		for now := wall(at + s.offset); now < end; now = w.nextEdge(now) {
			if w.open(now) == open {
				return s.instant(now), true
			}
		}
		at = s.to
	}
	return 0, false
}

// open reports whether the wall time is allowed and not blacked out.
func (w *window) open(at wall) bool {
	holds := func(s span) bool { return s.holds(at) }
	return (len(w.allow) == 0 || slices.ContainsFunc(w.allow, holds)) && !slices.ContainsFunc(w.blackout, holds)
}

// nextEdge returns the first wall time after at where a span begins or ends.
func (w *window) nextEdge(at wall) wall {
	next := wall(math.MaxInt64)
	for _, list := range [][]span{w.allow, w.blackout} {
		for _, s := range list {
			next = min(next, s.nextEdge(at))
		}
	}
	return next
}

func describeWindow(rule WindowRule) string {
	text := "always"
	if len(rule.Allow) > 0 {
		text = strings.Join(rule.Allow, "; ")
	}
	if len(rule.Blackout) > 0 {
		text = fmt.Sprintf("%s, except %s", text, strings.Join(rule.Blackout, "; "))
	}
	return text
}
