package service

import (
	"context"

	"github.com/ghosteam/upkeep/runner"
)

// ownFault is the fingerprint of a fault of this process. Where several nodes
// share a ledger each has its own: one that is well must not end that of another.
func (d *Daemon) ownFault(fingerprint string) string {
	if !d.shared() {
		return fingerprint
	}
	return fingerprint + "@" + d.Config().Node
}

// raiseOwn puts a fault of this process on record.
func (d *Daemon) raiseOwn(ctx context.Context, f runner.Fault) (opened bool, err error) {
	if f.Fingerprint != d.ownFault(f.Fingerprint) {
		f.Fingerprint = d.ownFault(f.Fingerprint)
		f.Title += " (node " + d.Config().Node + ")"
	}
	return d.ledger.Raise(ctx, f)
}

// whereItGoesOn says what becomes of runs that this process gives back.
func (d *Daemon) whereItGoesOn() string {
	if d.shared() {
		return "on another node"
	}
	return "at the next start"
}
