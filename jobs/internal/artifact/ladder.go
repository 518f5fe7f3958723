package artifact

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// Ladder says how far artifacts are proven, and how often further.
type Ladder struct {
	Each    object.Level `yaml:"each" enum:"L0,L1,L2" doc:"How far each copy is proven before it counts."`
	Daily   object.Level `yaml:"daily" enum:"L1,L2,L3,L4" doc:"How far the new copy in each store is proven when no copy there was proven so far within a day: L3 restores it into a scratch place and compares what arrived, L4 restores it on a throwaway server."`
	Weekly  object.Level `yaml:"weekly" enum:"L1,L2,L3,L4" doc:"The same when no copy was proven so far within a week." example:"L3"`
	Monthly object.Level `yaml:"monthly" enum:"L1,L2,L3,L4" doc:"The same when no copy was proven so far within a month." example:"L3"`
}

var _ unit.Shorthand = (*Ladder)(nil)

// Shorthand implements unit.Shorthand.
func (*Ladder) Shorthand() {}

// UnmarshalText reads the one word that stands for `each`.
func (l *Ladder) UnmarshalText(text []byte) error {
	var each object.Level
	if err := each.UnmarshalText(text); err != nil {
		return err
	}
	*l = Ladder{Each: each}
	return nil
}

// MarshalText writes the word of `each`, which UnmarshalText reads.
func (l Ladder) MarshalText() ([]byte, error) { return []byte(l.Each), nil }

// String returns the word of `each`.
func (l Ladder) String() string { return string(l.Each) }

// rung is a level that is proven from time to time.
type rung struct {
	word  string
	every time.Duration
	level object.Level
}

// rungs are the levels that are proven from time to time, the deepest first.
// Their times are a little shorter than the words say, so that a job which
// runs at the same hour and ends a little earlier is not put off to its next
// run.
func (l Ladder) rungs() []rung {
	const day = 24 * time.Hour
	var out []rung
	for _, r := range []rung{{"monthly", 30*day - day/2, l.Monthly}, {"weekly", 7*day - day/2, l.Weekly}, {"daily", day - day/6, l.Daily}} {
		if r.level != "" {
			out = append(out, r)
		}
	}
	return out
}

// validate judges the ladder of a kind that can prove up to most.
func (l Ladder) validate(most object.Level) error {
	if l.Each.Rank() < 0 || l.Each.Rank() > object.L2.Rank() {
		field, hint := "verify", ""
		if l.Each.Rank() > object.L2.Rank() {
			hint = fmt.Sprintf("write verify: {each: L2, weekly: %s}", l.Each)
		}
		return &jobs.FieldError{Field: field, Why: fmt.Sprintf("%q is not a level that each copy can be proven to: use L0, L1 or L2", l.Each), Hint: hint}
	}
	var errs []error
	below := rung{word: "each", level: l.Each}
	for _, r := range slices.Backward(l.rungs()) { // the most frequent first
		switch {
		case r.level.Rank() > most.Rank():
			errs = append(errs, jobs.Fieldf("verify."+r.word, "jobs of this kind cannot prove %s: use at most %s", r.level, most))
		case r.level.Rank() <= below.level.Rank():
			errs = append(errs, jobs.Fieldf("verify."+r.word, "%s proves no more than %s, which %s does already", r.level, below.level, below.word))
		}
		below = r
	}
	return errors.Join(errs...)
}
