package configs

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

func (f historyFile) limits() runner.History {
	return runner.History{Keep: f.Keep.Std(), Runs: f.Runs, Bytes: f.Bytes.Bytes()}
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
	b.out.History.AtLeast = max(b.catchUpWindow(), b.budgetWindow())
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

// budgetWindow returns how far back the limits of a runbook look.
func (b *draft) budgetWindow() time.Duration { return max(b.out.Limits.Per, b.out.Limits.Cooldown) }

// lintPast looks for a limit that cannot hold.
func (b *draft) lintPast() {
	keep, within := b.file.History.Keep, unit.Duration(b.catchUpWindow())
	if within <= keep {
		return
	}
	place := at(b.node, "catch_up.within", b.at)
	if _, given := b.node.Get("history"); given {
		place = at(b.node, "history.keep", place)
	}
	b.d.Warn(place, "history-order", b.child("history.keep"), fmt.Sprintf("runs are kept for %s, but catch_up.within looks back %s: they stay that long", keep, within),
		"make history.keep longer, or catch_up.within shorter")
}
