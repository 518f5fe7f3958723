package service

import (
	"context"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// StandIn records what nodes missed that are not there.
func StandIn(ctx context.Context, l *ledger.Ledger, cfg *configs.Config) error {
	return on(l, cfg).standIn(ctx)
}
