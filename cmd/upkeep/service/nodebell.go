package service

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// echoEvery is the least time between two bells that tell the other nodes
	// that what people look at changed here.
	echoEvery = time.Second
	// bellBound bounds what hearing one bell may take.
	bellBound = 10 * time.Second
)

// hear does at once what the ledger has on record and a bell tells. What goes
// wrong is done later by whoever looks every now and then.
func (e *Engine) hear(ctx context.Context, b ledger.Bell) {
	switch b.Kind {
	case ledger.BellCancel:
		here := e.queue.Interrupt(b.Run, &runner.CanceledError{By: b.By})
		e.o.Log.DebugContext(ctx, "a cancel was heard", "run", string(b.Run), "here", here)
	case ledger.BellQueued:
		ctx, cancel := context.WithTimeoutCause(ctx, bellBound, errSlowLease)
		defer cancel()
		if err := e.queue.Deliver(ctx, b.Run); err != nil {
			e.o.Log.WarnContext(ctx, "a run is delivered with the next sweep", "run", string(b.Run), "error", err)
		}
	case ledger.BellOwed:
		if b.From != e.ledger.Instance() {
			e.told() // else it is known
		}
	case ledger.BellFreed:
		e.exec.Wake()
	case ledger.BellNodes:
		ring(e.nodes)
	case ledger.BellChanged:
		if b.From != e.ledger.Instance() {
			e.hub.Changed(topicsOf(b)...)
		}
	case ledger.BellMissed:
		e.told()
		e.exec.Wake()
		ring(e.nodes)
		e.hub.Changed(api.Topics()...)
	}
}

// told wakes those who look after what is owed and what is wrong.
func (e *Engine) told() {
	ring(e.owed)
	ring(e.unsettled)
	e.hub.Changed(api.TopicIncidents, api.TopicNotices)
}

// topicsOf are the topics of a bell that this version knows.
func topicsOf(b ledger.Bell) (topics []api.Topic) {
	for _, name := range b.Topics {
		if slices.Contains(api.Topics(), api.Topic(name)) {
			topics = append(topics, api.Topic(name))
		}
	}
	return topics
}

// echo tells the other nodes what changed here, of which they cannot know: many
// changes by one bell. It is safe for use by several goroutines.
type echo struct {
	mu     sync.Mutex
	topics []string
	// wake has a value when there are topics.
	wake chan struct{}
}

func newEcho() *echo { return &echo{wake: make(chan struct{}, 1)} }

var _ runner.Observer = (*echo)(nil)

// Observe implements runner.Observer.
func (c *echo) Observe(_ context.Context, event runner.Event) {
	switch event.(type) {
	case runner.AttemptProgress, runner.AttemptWaiting:
		return // not on record
	}
	c.changed(api.TopicRuns)
}

// changed notes that topics changed here.
func (c *echo) changed(topics ...api.Topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range topics {
		if !slices.Contains(c.topics, string(t)) {
			c.topics = append(c.topics, string(t))
		}
	}
	ring(c.wake)
}

// run rings until ctx ends.
func (c *echo) run(ctx context.Context, pull func(ctx context.Context, b ledger.Bell) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.mu.Lock()
		b := ledger.Bell{Kind: ledger.BellChanged, Topics: c.topics}
		c.topics = nil
		c.mu.Unlock()
		bounded, cancel := context.WithTimeoutCause(ctx, bellBound, errSlowLease)
		// Followers on other nodes look every now and then anyway.
		_ = pull(bounded, b)
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-time.After(echoEvery):
		}
	}
}

// chime hears the other nodes and is heard by them, until ctx ends. Where there
// are none it does nothing.
func (e *Engine) chime(ctx context.Context) {
	if !e.shared() {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { e.ledger.Listen(ctx, func(b ledger.Bell) { e.hear(ctx, b) }) })
	both.Go(func() {
		e.echo.run(ctx, func(ctx context.Context, b ledger.Bell) error { return e.ledger.Ring(ctx, b) })
	})
	both.Wait()
}

// takeUp has a run delivered that somebody asked something of and that this
// process does not execute: when nobody does, so that it ends in good order.
// Another node has heard the bell.
func (e *Engine) takeUp(ctx context.Context, id runner.RunID) error {
	if e.shared() {
		run, err := e.ledger.Run(ctx, string(id))
		if err != nil {
			return err
		}
		if alive, err := WorksOn(ctx, e.ledger.Nodes, run); err != nil || alive {
			return err
		}
	}
	e.accepted.add(id)
	return e.queue.Deliver(context.WithoutCancel(ctx), id)
}
