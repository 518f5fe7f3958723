package scrape

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Tally is what tests feed with texts.
type Tally struct{ t *tally }

// NewTally makes one.
func NewTally(t Target) Tally { return Tally{newTally(t)} }

// Take reads a text as it was at an instant.
func (t Tally) Take(text string, at time.Time) error { return t.t.take([]byte(text), at) }

// Settled returns what is ready to be recorded.
func (t Tally) Settled(now time.Time) []runner.Sample { return t.t.settled(now) }

// Refusals is for how many series there was no room.
func (t Tally) Refusals() (int, bool) { return t.t.refusals() }
