// Package retention decides which artifacts to keep. It is pure: it knows
// instants, a policy and a time zone, and reads no clock and no store. It
// refuses to remove what would leave too little, and to remove anything while
// new artifacts fail.
package retention

import (
	"errors"
	"fmt"
	"time"
)

// Policy says what to keep: an item stays when any of the rules wants it. The
// zero Policy keeps everything.
type Policy struct {
	// Last keeps so many of the newest items.
	Last int
	// Within keeps every item that is not older.
	Within time.Duration
	// Hourly, Daily, Weekly, Monthly and Yearly keep the newest item of each of
	// so many hours, days, ISO weeks, months and years that have one, counted
	// back from the newest.
	Hourly, Daily, Weekly, Monthly, Yearly int
	// MinKeep is how many of the newest verified items stay whatever the rules
	// say. Less than 1 means 1.
	MinKeep int
	// MaxRemove bounds how many items one plan removes, the oldest first; 0
	// means no bound.
	MaxRemove int
	// Unverified is how long an item that is not verified stays; 0 means for
	// ever.
	Unverified time.Duration
}

// Active tells whether any rule says what to keep. A policy without one
// removes nothing.
func (p Policy) Active() bool {
	return p.Last > 0 || p.Within > 0 || p.Hourly > 0 || p.Daily > 0 || p.Weekly > 0 || p.Monthly > 0 || p.Yearly > 0
}

// Validate reports counts and durations that make no sense.
func (p Policy) Validate() error {
	var errs []error
	for _, rule := range []struct {
		name  string
		value int
	}{
		{"last", p.Last},
		{"hourly", p.Hourly},
		{"daily", p.Daily},
		{"weekly", p.Weekly},
		{"monthly", p.Monthly},
		{"yearly", p.Yearly},
		{"min_keep", p.MinKeep},
		{"max_remove", p.MaxRemove},
	} {
		if rule.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %d, but cannot be negative", rule.name, rule.value))
		}
	}
	if p.Within < 0 || p.Unverified < 0 {
		errs = append(errs, errors.New("a duration cannot be negative"))
	}
	return errors.Join(errs...)
}

// Item is one artifact, or one attempt to make one.
type Item struct {
	// ID identifies it. An empty ID stands for an attempt that failed and left
	// nothing: it can neither be kept nor removed, but it counts as news.
	ID string
	// Time is when it was made.
	Time time.Time
	// Verified tells that it was proven as far as the owner demands and that
	// nothing about it is suspect. Only verified items count for the rules.
	Verified bool
}

// Decision is what becomes of one item, and why.
type Decision struct {
	Item Item
	// Reasons are the rules that keep it, such as "daily 2026-11-22", or the
	// one reason why it goes.
	Reasons []string
}

// Plan is what becomes of all items, each list newest first.
type Plan struct {
	Keep   []Decision
	Remove []Decision
	// Held says why nothing or not everything is removed that the rules would
	// let go; empty when nothing was held back.
	Held string
}
