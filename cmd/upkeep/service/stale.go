package service

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/ticker"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// clockLedger is the ledger as the clock of one node takes it.
type clockLedger struct {
	metered

	e *Engine
}

var _ ticker.Ledger = clockLedger{}

// Successes is when each workflow last did its work, here when every node runs
// it for itself: what others did is no success of this one.
func (l clockLedger) Successes(ctx context.Context, workflows []string) (map[string]time.Time, error) {
	cfg := l.e.Config()
	var each, rest []string
	for _, name := range workflows {
		if w, err := cfg.Workflow(name); err == nil && w.EveryNode {
			each = append(each, name)
		} else {
			rest = append(rest, name)
		}
	}
	found, err := l.metered.Successes(ctx, rest)
	if err != nil || len(each) == 0 {
		return found, err
	}
	shares, err := l.Shares(ctx, each)
	if err != nil {
		return nil, err
	}
	for _, s := range shares {
		if s.Host == cfg.Node && !s.Success.IsZero() {
			found[s.Workflow] = s.Success
		}
	}
	return found, nil
}

// clockwork is the ledger for the clock of this node.
func (d *Daemon) clockwork() clockLedger { return clockLedger{d.meter(), d.Engine} }

// stale puts on record, once, that a workflow did not succeed for too long. The
// open incident of a workflow that fails anyway stays as it is.
func (d *Daemon) stale(ctx context.Context, w ticker.Workflow, since time.Time) error {
	fingerprint := alerts.Fingerprint(w.Name, w.Host)
	if d.staleSince[fingerprint].Equal(since) {
		return nil
	}
	succeeded, err := d.clockwork().Successes(ctx, []string{w.Name})
	if err != nil {
		return err
	}
	_, ever := succeeded[w.Name]
	opened, err := d.ledger.Raise(ctx, d.Config().Alarm().Stale(w.Name, w.Host, since, !ever, w.FreshWithin, time.Now().UTC()))
	if err != nil {
		return err
	}
	d.staleSince[fingerprint] = since
	if opened {
		d.o.Log.ErrorContext(ctx, "a workflow is stale", "workflow", w.Name, "host", w.Host, "since", since, "fresh_within", w.FreshWithin)
	}
	return nil
}

// staleAway tells of the shares of nodes that are not there, which cannot do it,
// once however many nodes look.
func (d *Daemon) staleAway(ctx context.Context) error {
	cfg := d.Config()
	if !shared(cfg) {
		return nil
	}
	members, err := d.ledger.Members(ctx)
	if err != nil {
		return err
	}
	shares, err := d.sharesAway(ctx, cfg, members)
	if err != nil {
		return err
	}
	// The first of an order tells; the others only when it is late.
	now := time.Now().UTC().Add(-time.Duration(rankOf(members, cfg.Node)) * yield)
	var errs []error
	for _, s := range shares {
		w, err := cfg.Workflow(s.Workflow)
		if err != nil || now.Sub(s.Fresh()) <= w.FreshWithin {
			continue
		}
		fault := cfg.Alarm().Stale(w.Name, s.Host, s.Fresh(), s.Success.IsZero(), w.FreshWithin, time.Now().UTC())
		open, err := d.ledger.Incidents(ctx, runner.IncidentFilter{Fingerprint: fault.Fingerprint, States: []runner.IncidentState{runner.IncidentOpen}, Limit: 1})
		if err == nil && len(open) == 0 {
			_, err = d.ledger.Raise(ctx, fault)
			d.o.Log.ErrorContext(ctx, "a workflow is stale on a node that is not there", "workflow", w.Name, "host", s.Host, "since", s.Fresh(), "fresh_within", w.FreshWithin)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sharesAway are the shares of nodes that are not there in workflows that must
// succeed from time to time.
func (d *Daemon) sharesAway(ctx context.Context, cfg *configs.Config, members []ledger.Member) ([]runner.Share, error) {
	away := map[string]bool{}
	for _, m := range members {
		if !m.Alive {
			away[m.Name] = true
		}
	}
	var names []string
	for _, w := range cfg.Workflows {
		if w.EveryNode && w.FreshWithin > 0 {
			names = append(names, w.Name)
		}
	}
	if len(away) == 0 || len(names) == 0 {
		return nil, nil
	}
	all, err := d.ledger.Shares(ctx, names)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s runner.Share) bool {
		w, err := cfg.Workflow(s.Workflow)
		return err != nil || !away[s.Host] || !w.Fits(s.Labels)
	}), nil
}
