package health

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Standing is what the state machine says after some answers.
type Standing struct {
	Phase  runner.CheckPhase
	Health runner.Health

	LastGood, FirstBad time.Time
}

// Walk runs the state machine over answers and returns where it stands after
// each.
func Walk(failAfter, okAfter int, answers []Outcome) []Standing {
	var s standing
	var out []Standing
	for _, o := range answers {
		s.take(o, failAfter, okAfter)
		out = append(out, Standing{s.phase(), s.health, s.lastGood, s.firstBad})
	}
	return out
}
