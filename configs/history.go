package configs

import (
	"time"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// History is how much of the past of one workflow stays on record. The limits
// hold together: a run goes when it exceeds any of them, but not before it is
// older than AtLeast.
type History struct {
	// Keep is the age from which a run goes. It is never below AtLeast.
	Keep time.Duration
	// Runs is the most runs, Bytes the most bytes of output that they take.
	Runs  int
	Bytes int64
	// AtLeast is the age below which a run stays whatever the limits say,
	// because catching up or judging freshness looks back so far; 0 means none
	// is needed.
	AtLeast time.Duration
}

func (f historyFile) limits() History {
	return History{Keep: f.Keep.Std(), Runs: f.Runs, Bytes: f.Bytes.Bytes()}
}

// check reports limits that would leave nothing to look at. e is what was
// given.
func (f historyFile) check(d *decode.Decoder, e source.Entry, path string) {
	if _, given := e.Value.Get("keep"); given && sound(d, path+".keep") && f.Keep.Std() < shortestHistoryKeep {
		d.Report(at(e.Value, "keep", e.At), "bad-value", path+".keep", "keep must be at least 1h", "")
	}
	if _, given := e.Value.Get("bytes"); given && sound(d, path+".bytes") && f.Bytes < smallestHistoryBytes {
		d.Report(at(e.Value, "bytes", e.At), "bad-value", path+".bytes", "bytes must be at least 1MiB", "")
	}
}

// past takes what a workflow says about its former runs. A run under way does
// not ask for it.
func (b *draft) past() {
	b.out.Approval = b.file.Mode.approve
	b.out.FreshWithin = b.file.FreshWithin.Std()
	if b.frozen {
		return
	}
	if e, given := b.node.Get("fresh_within"); given && sound(b.d, b.child("fresh_within")) && b.out.FreshWithin < shortestFreshness {
		b.d.Report(at(b.node, "fresh_within", e.At), "bad-value", b.child("fresh_within"), "fresh_within must be at least 1m", "")
	}
	if e, given := b.node.Get("history"); given {
		b.file.History.check(b.d, e, b.child("history"))
	}
	b.out.History = b.file.History.limits()
	b.out.History.AtLeast = max(b.catchUpWindow(), b.out.FreshWithin)
	b.out.History.Keep = max(b.out.History.Keep, b.out.History.AtLeast)
}

// catchUpWindow returns how far back catching up looks.
func (b *draft) catchUpWindow() time.Duration {
	c := b.out.Policy.CatchUp
	if c.Run == "" || c.Run == schedule.CatchUpNone {
		return 0
	}
	return c.Within
}

// lintPast looks for limits that cannot hold.
func (b *draft) lintPast() {
	keep := b.file.History.Keep
	warn := func(other string, least time.Duration) {
		place := at(b.node, other, b.at)
		if _, given := b.node.Get("history"); given {
			place = at(b.node, "history.keep", place)
		}
		b.d.Warn(place, "history-order", b.child("history.keep"),
			"runs are kept for "+keep.String()+", but "+other+" looks back "+unit.Duration(least).String()+": they stay that long", "make history.keep longer, or "+other+" shorter")
	}
	if within := b.catchUpWindow(); within > keep.Std() {
		warn("catch_up.within", within)
	}
	if b.out.FreshWithin > keep.Std() {
		warn("fresh_within", b.out.FreshWithin)
	}
}
