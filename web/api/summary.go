package api

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Summary is how all is, in short and without names: what anybody may see at
// /status when the configuration says so.
type Summary struct {
	At        time.Time     `json:"at"`
	Status    runner.Health `json:"status" enum:"healthy,warning,unknown,critical"`
	Daemon    string        `json:"daemon" enum:"ok,degraded,failing"`
	Workflows int           `json:"workflows"`
	Running   int           `json:"running" doc:"runs under way"`
	Failed    int           `json:"failed" doc:"workflows whose newest run failed"`
	Stale     int           `json:"stale" doc:"workflows that have not done their work for too long"`
	Incidents int           `json:"incidents" doc:"open ones"`
	Checks    int           `json:"checks"`
	Healthy   int           `json:"healthy" doc:"checks that are"`
}
