package main

import (
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// latestPerJob returns the last attempt of each job in the order in which the
// jobs first appear.
func latestPerJob(attempts []runner.Attempt) []runner.Attempt {
	return api.NewestPerJob(attempts, func(a runner.Attempt) string { return a.Job })
}
