package service

import (
	"context"

	"github.com/ghosteam/upkeep/web/api"
)

// TestBench is a bench of a daemon that does nothing else.
type TestBench struct{ *bench }

// NewTestBench makes a bench while nothing new may start for some reasons.
func NewTestBench(why ...string) TestBench {
	g := &gate{}
	for _, w := range why {
		g.reasons = append(g.reasons, hold(w))
	}
	return TestBench{&bench{d: &Daemon{gate: g}}}
}

// Idle is idle.
func (b TestBench) Idle(ctx context.Context) error { return b.idle(ctx) }

// Saying is saying.
type Saying struct{ *saying }

// NewSaying makes one.
func NewSaying(tell func(api.WorkEvent)) Saying { return Saying{&saying{tell: tell}} }

// Flush is flush.
func (s Saying) Flush() { s.flush() }
