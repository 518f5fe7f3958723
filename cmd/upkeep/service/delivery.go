package service

import (
	"context"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/queue"
	"github.com/ghosteam/upkeep/runner/queue/local"
	"github.com/ghosteam/upkeep/runner/queue/river"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// delivery is how runs come to the executor of this process.
type delivery interface {
	queue.Queue
	// Hold keeps runs from being handed out here until Resume. What is delivered
	// meanwhile waits, and other nodes may take it where there are any; what runs
	// goes on. Both may be called again.
	Hold()
	Resume()
	// Running is how many runs handlers work on, Waiting about how many wait that
	// this process may take.
	Running() int
	Waiting() int
}

var (
	_ delivery = (*local.Queue)(nil)
	_ delivery = (*river.Queue)(nil)
	_ delivery = (*bystander)(nil)
)

// shared tells whether other nodes may use the ledger.
func (e *Engine) shared() bool { return e.Config().Ledger.Dialect != "sqlite" }

// deliverer makes the delivery: in this process where there is no other, through
// the database for a service that shares it. A command executes what it was
// asked for, and leaves the rest to the services.
func (e *Engine) deliverer(ctx context.Context) (delivery, error) {
	cfg, log := e.Config(), named(e.o.Log, "queue")
	if e.shared() && e.o.Pending {
		return river.New(ctx, river.Options{
			Ledger: e.ledger, Pool: e.ledger.Pool(), Node: cfg.Node, Labels: cfg.Labels, Slots: cfg.MaxRunning, Base: e.hard, Log: log,
		})
	}
	backlog := runner.Backlog(onlyWhatIsAsked{})
	if e.o.Pending {
		backlog = e.ledger
	}
	q := local.New(local.Options{Backlog: backlog, Slots: cfg.MaxRunning, Base: e.hard, Log: log})
	if e.shared() {
		return &bystander{Queue: q, e: e}, nil
	}
	return q, nil
}

// bystander is the delivery of a command that shares the ledger with services.
type bystander struct {
	*local.Queue

	e *Engine
}

// Deliver hands over what this process accepted and tells the services of the
// rest, and of what is not for this node.
func (b *bystander) Deliver(ctx context.Context, ids ...runner.RunID) error {
	list, err := b.e.ledger.Deliveries(ctx, ids...)
	if err != nil {
		return err
	}
	cfg := b.e.Config()
	var bells []ledger.Bell
	for _, d := range list {
		if b.e.accepted.has(d.Run) && d.Target.Fits(cfg.Node, cfg.Labels) {
			if err := b.Queue.Deliver(ctx, d.Run); err != nil {
				return err
			}
			continue
		}
		bells = append(bells, ledger.Bell{Kind: ledger.BellQueued, Run: d.Run})
	}
	return b.e.ledger.Ring(ctx, bells...)
}
