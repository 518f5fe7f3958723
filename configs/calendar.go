package configs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// calendar compiles the schedule and what belongs to it.
func (b *draft) calendar() {
	b.out.Zone = b.zone
	if b.file.Timezone != nil && b.file.Timezone.Location != nil {
		b.out.Zone = b.file.Timezone.Location
	}
	b.out.Jitter = b.file.Jitter.Std()
	if e, given := b.node.Get("schedule"); given && b.file.Schedule != nil && b.understood("schedule") {
		f := b.file.Schedule
		compiled, err := schedule.Parse(schedule.Rule{
			Daily: f.Daily, Weekly: f.Weekly, Monthly: f.Monthly, Every: f.Every.Std(), Cron: f.Cron,
			Zone: b.out.Zone, DST: schedule.DST(b.file.DST),
		})
		if err != nil {
			b.calendarProblem(err, e.Value, "schedule", e.At)
		}
		b.out.Schedule = compiled
	}
	b.out.Policy.StartDeadline = b.file.StartDeadline.Std()
	if e, given := b.node.Get("catch_up"); given && b.file.CatchUp != nil && b.understood("catch_up") {
		f := b.file.CatchUp
		b.out.Policy.CatchUp = schedule.CatchUp{Run: schedule.CatchUpRun(f.Run), Within: f.Within.Std(), Max: f.Max}
		if err := b.out.Policy.CatchUp.Validate(); err != nil {
			b.calendarProblem(err, e.Value, "catch_up", e.At)
		}
	}
	if e, given := b.node.Get("window"); given && b.file.Window != nil && b.understood("window") {
		f := b.file.Window
		compiled, err := schedule.ParseWindow(schedule.WindowRule{
			Allow: f.Allow, Blackout: f.Blackout, OnClose: schedule.OnClose(f.OnClose), Zone: b.out.Zone,
		})
		if err != nil {
			b.calendarProblem(err, e.Value, "window", e.At)
		}
		b.out.Window, b.out.Quiet = compiled, f.Quiet
		b.patterns(e.Value, "quiet", f.Quiet, b.child("window.quiet"), e.At)
	}
}

// patterns checks patterns of names under a key of a node.
func (b *draft) patterns(n *source.Node, key string, patterns []string, path string, place source.Pos) {
	for i, pattern := range patterns {
		if !doublestar.ValidatePattern(pattern) {
			b.d.Report(at(n, fmt.Sprintf("%s[%d]", key, i), place), "bad-value", path, fmt.Sprintf("%q is not a pattern", pattern), "* ? [a-z] and {a,b} are understood")
		}
	}
}

// understood tells whether what stands under key was decoded without errors.
func (b *draft) understood(key string) bool {
	return !slices.ContainsFunc(b.d.Problems, func(p Problem) bool { return strings.HasPrefix(p.Path, b.child(key)+".") })
}

// calendarProblem reports an error of the calendar at the character that it is
// about.
func (b *draft) calendarProblem(err error, n *source.Node, key string, keyAt source.Pos) {
	wrong, ok := errors.AsType[*schedule.ParseError](err)
	if !ok {
		b.d.Report(keyAt, "schedule", b.child(key), err.Error(), "")
		return
	}
	path, place := b.child(key), keyAt
	if e, given := n.Get(wrong.Field); given {
		path, place = path+"."+wrong.Field, e.At
		value := e.Value
		if value.Kind == source.List && wrong.Item < len(value.Items) {
			value = value.Items[wrong.Item]
		}
		if value.Kind == source.Scalar {
			place = inside(value, wrong.Offset)
		}
	}
	b.d.Report(place, "schedule", path, wrong.Error(), wrong.Hint)
}

// inside returns the place of a byte of a scalar, as far as the file shows the
// scalar as it is.
func inside(n *source.Node, offset int) source.Pos {
	if offset > len(n.Text) {
		return n.Pos
	}
	start := n.Pos.Seek(n.Text)
	if start == n.Pos && !n.Plain {
		return n.Pos // escapes or several lines: its beginning is all we know
	}
	start.Col += utf8.RuneCountInString(n.Text[:offset])
	return start
}
