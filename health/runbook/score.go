package runbook

import (
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Score is how well a runbook does.
type Score struct {
	// Runs is how many runs its check asked for; the others say what became of
	// them.
	Runs, Fixed, NotFixed, Worse, Observed, Dropped, Open int
	// Relapsed is how many of the fixed ones did not last a day.
	Relapsed int
	// TimeToFix is the median time from when a run was asked for to the answer
	// that showed the check to be well, so that waiting for approval counts; 0
	// without any.
	TimeToFix time.Duration
}

// ScoreOf counts remedies.
func ScoreOf(list []runner.Remedy) Score {
	s := Score{Runs: len(list)}
	var took []time.Duration
	for _, r := range list {
		switch r.Outcome {
		case runner.OutcomeFixed:
			s.Fixed++
			took = append(took, r.DecidedAt.Sub(r.BegunAt))
			if !r.RelapsedAt.IsZero() {
				s.Relapsed++
			}
		case runner.OutcomeNotFixed:
			s.NotFixed++
		case runner.OutcomeWorse:
			s.Worse++
		case runner.OutcomeObserved:
			s.Observed++
		case runner.OutcomeDropped:
			s.Dropped++
		case runner.OutcomeOpen:
			s.Open++
		}
	}
	if len(took) > 0 {
		slices.Sort(took)
		s.TimeToFix = (took[(len(took)-1)/2] + took[len(took)/2]) / 2
	}
	return s
}

// Rate returns the share of the runs with a known effect that fixed their
// check, from 0 to 1; ok is false without any.
func (s Score) Rate() (rate float64, ok bool) {
	known := s.Fixed + s.NotFixed + s.Worse
	if known == 0 {
		return 0, false
	}
	return float64(s.Fixed) / float64(known), true
}
