// Package retry is the one vocabulary for trying again: how often, how long to
// wait in between, which errors forbid another attempt and which name their
// own wait. It is a leaf and imports nothing of ours, so that kinds, stores,
// channels and the executor mean the same thing by the same words.
//
// It knows no operation, logs nothing and persists nothing. A caller that must
// survive a crash between two attempts (the executor) keeps the attempt's
// number itself and asks [Policy.Next]; everyone else calls [Do].
//
// [Do] does not use github.com/cenkalti/backoff/v5, because its Retry runs the
// operation once even on a context that is already dead, returns only the
// context's cause where the last error of the operation is what a person needs
// to read, strips the permanent mark on the way out, lets the random part
// exceed the configured maximum, and keeps its place in the sequence in memory,
// so that the n-th wait cannot be asked for after a restart.
package retry

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// DefaultFactor is the growth of the wait from one attempt to the next when a
// Policy names none.
const DefaultFactor = 2.0

// Jitter says how much of a wait is left to chance, so that many clients that
// failed together do not come back together. The two random forms and their
// names are those of M. Brooker, "Exponential Backoff And Jitter", AWS
// Architecture Blog, 2015.
type Jitter string

// The forms of jitter, for a computed wait d.
const (
	JitterEqual Jitter = "equal" // uniformly in [d/2, d) (the default)
	JitterFull  Jitter = "full"  // uniformly in [0, d)
	JitterNone  Jitter = "none"  // exactly d
)

// Policy says how often a failed operation is tried again and how long to wait
// before each try. The zero Policy never tries again. Policies are plain
// values and compare with ==.
type Policy struct {
	// Max is how many attempts may follow the first, 0 or more.
	Max int
	// Backoff bounds the waits; the zero value means DefaultBackoff.
	Backoff Backoff
	// Factor multiplies the wait after each attempt, at least 1; 0 means
	// DefaultFactor.
	Factor float64
	// Jitter is the random part of each wait; empty means JitterEqual.
	Jitter Jitter
}

// Validate reports the first value of p that is out of range.
func (p Policy) Validate() error {
	if p.Max < 0 {
		return fmt.Errorf("retry max is %d: it cannot be negative", p.Max)
	}
	if p.Backoff != (Backoff{}) {
		if err := p.Backoff.validate(); err != nil {
			return err
		}
	}
	if p.Factor != 0 && (p.Factor < 1 || math.IsNaN(p.Factor) || math.IsInf(p.Factor, 0)) {
		return fmt.Errorf("retry factor is %v: it must be a number of at least 1", p.Factor)
	}
	switch p.Jitter {
	case "", JitterEqual, JitterFull, JitterNone:
		return nil
	default:
		return fmt.Errorf("retry jitter is %q: it must be equal, full or none", string(p.Jitter))
	}
}

// Delay returns the wait after attempt number attempt failed, counting from 1:
// Backoff.Min * Factor^(attempt-1), at most Backoff.Max, less the random part.
// rnd returns numbers in [0,1); nil means math/rand/v2. The result is never
// negative and never above Backoff.Max, whatever the attempt's number.
func (p Policy) Delay(attempt int, rnd func() float64) time.Duration {
	backoff := p.Backoff
	if backoff == (Backoff{}) {
		backoff = DefaultBackoff()
	}
	factor := p.Factor
	if factor == 0 {
		factor = DefaultFactor
	}
	wait := backoff.Max
	grown := float64(backoff.Min) * math.Pow(factor, float64(max(attempt, 1)-1))
	// The comparison is false for +Inf and NaN too, which is the wanted cap.
	if grown < float64(backoff.Max) {
		wait = time.Duration(grown)
	}
	if rnd == nil {
		rnd = rand.Float64
	}
	switch p.Jitter {
	case JitterNone:
		return wait
	case JitterFull:
		return portion(wait, rnd())
	default:
		return wait - wait/2 + portion(wait/2, rnd())
	}
}

// portion returns the share of d, kept within [0, d] even when share is not in
// [0,1): a wrong random source must not make a wait negative or endless.
func portion(d time.Duration, share float64) time.Duration {
	switch {
	case share >= 1:
		return d
	case share > 0:
		return time.Duration(share * float64(d))
	default: // also NaN
		return 0
	}
}

// Next decides what follows when attempt number attempt, counting from 1,
// ended with err: whether another attempt is allowed and how long to wait
// before it. A nil or permanent err and a spent Max allow none. The wait that
// [After] put on err is taken exactly, in place of the computed one.
func (p Policy) Next(attempt int, err error, rnd func() float64) (wait time.Duration, again bool) {
	if err == nil || attempt > p.Max || IsPermanent(err) {
		return 0, false
	}
	if wait, ok := AfterOf(err); ok {
		return wait, true
	}
	return p.Delay(attempt, rnd), true
}
