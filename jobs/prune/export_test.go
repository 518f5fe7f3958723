package prune

import (
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// World is what a test puts in the place of this machine.
type World struct {
	// Lease replaces fcntl(F_SETLEASE).
	Lease func(fd int) error
	// Proc replaces /proc.
	Proc string
	// Untyped makes folders tell no types of their entries.
	Untyped bool
	// Now replaces the clock.
	Now time.Time
	// Remember replaces the memory for what a survey found, in bytes.
	Remember int64
	// Rank replaces how many files are sorted at once.
	Rank int
	// Sys replaces /sys.
	Sys string
	// Stepwise forbids openat2.
	Stepwise bool
}

// In puts the job into another world.
func In(job jobs.Job, w World) jobs.Job {
	r, ok := job.(*rule)
	if !ok {
		panic("not a rule")
	}
	if w.Lease != nil {
		r.host.lease = w.Lease
	}
	if w.Proc != "" {
		r.host.proc = w.Proc
	}
	if !w.Now.IsZero() {
		r.now = func() time.Time { return w.Now }
	}
	if w.Remember > 0 {
		r.host.remember = w.Remember
	}
	if w.Rank > 0 {
		r.host.rank = w.Rank
	}
	if w.Sys != "" {
		r.host.sys = w.Sys
	}
	if w.Stepwise {
		r.host.open = openStepwise
	}
	r.host.untyped = w.Untyped
	return r
}

// PlanTime reads the instant as of which a plan was made.
func PlanTime(plan string, now time.Time) (time.Time, error) { return planTime(plan, now) }

// DateIn reads the last date in a name.
func DateIn(name string) (time.Time, bool) { return dateIn(name) }
