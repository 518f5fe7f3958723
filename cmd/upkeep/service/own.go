package service

import (
	"context"

	"github.com/ghosteam/upkeep/runner"
)

// ownFault is the fingerprint of a fault of this process. Where several nodes
// share a ledger each has its own: one that is well must not end that of another.
//
// What belongs to one node: that its disk is full, that its configuration could
// not be reloaded, that it is drained and probably forgotten, that the network of
// its machine is down, and a check that runs on every node (health calls it
// NAME@NODE). What belongs to all, under one fingerprint whichever node finds it:
// a workflow that failed, missed its slots, is stale or stuck (each node looks
// after the runs that it executes; of what an absent node missed another one
// tells), a check of which one node asks, a runbook that does not help, and what
// somebody raised by hand.
// Nodes whose configuration differs, or that are away, are no incident but the
// check cluster of the status.
func (d *Daemon) ownFault(fingerprint string) string {
	if !d.shared() {
		return fingerprint
	}
	return fingerprint + "@" + d.Config().Node
}

// raiseOwn puts a fault of this process on record.
func (d *Daemon) raiseOwn(ctx context.Context, f runner.Fault) (opened bool, err error) {
	return d.ledger.Raise(ctx, d.own(f))
}

// own makes a fault one of this process.
func (d *Daemon) own(f runner.Fault) runner.Fault {
	if d.shared() {
		f.Fingerprint = d.ownFault(f.Fingerprint)
		f.Title += " (node " + d.Config().Node + ")"
	}
	return f
}

// whereItGoesOn says what becomes of runs that this process gives back.
func (d *Daemon) whereItGoesOn() string {
	if d.shared() {
		return "on another node"
	}
	return "at the next start"
}
