package service

import (
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// Instances are the checks of a configuration, each with the node that asks it.
func Instances(cfg *configs.Config, members []ledger.Member) []health.Check {
	return instances(cfg, members)
}
