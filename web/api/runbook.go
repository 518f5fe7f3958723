package api

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Runbook is a workflow that a check starts, as `upkeep runbook list -o json`
// lists it.
type Runbook struct {
	Name    string        `json:"name" doc:"its workflow"`
	Trigger string        `json:"trigger" doc:"what starts it, in words"`
	Mode    string        `json:"mode" enum:"auto,approve,observe"`
	Paused  string        `json:"paused" doc:"who paused it and why; empty when it is not"`
	Limits  RunbookLimits `json:"limits" doc:"how often its check may start it"`
	Score   RunbookScore  `json:"score" doc:"what became of its runs that the ledger has"`
}

// RunbookLimits say how often a check may start a runbook.
type RunbookLimits struct {
	CooldownSeconds float64 `json:"cooldown_seconds" doc:"the shortest time between the end of one run and the beginning of the next"`
	Max             int     `json:"max" doc:"how many runs may begin within per_seconds"`
	PerSeconds      float64 `json:"per_seconds"`
	GraceSeconds    float64 `json:"grace_seconds" doc:"how long after a run its check may take to be well"`
}

// RunbookScore is how well a runbook does.
type RunbookScore struct {
	Runs     int `json:"runs" doc:"how many its check asked for; the next six add up to this"`
	Fixed    int `json:"fixed" doc:"the check was well within the grace"`
	NotFixed int `json:"not_fixed"`
	Worse    int `json:"worse" doc:"it was worse, or another check failed since"`
	Observed int `json:"observed" doc:"it only looked"`
	Dropped  int `json:"dropped" doc:"it was turned down, or no longer needed"`
	Open     int `json:"open" doc:"not known yet"`
	Relapsed int `json:"relapsed" doc:"how many of the fixed ones did not last a day"`
	// FixRate is from 0 to 1.
	FixRate          *float64 `json:"fix_rate" doc:"fixed ones among those with a known effect, 0 to 1; null when there are none"`
	TimeToFixSeconds *float64 `json:"time_to_fix_seconds" doc:"the median time from when it was due to the proof that it helped; null when nothing was fixed"`
}

// Runbooks are all runbooks, in the order of the configuration.
type Runbooks struct {
	Runbooks []Runbook `json:"runbooks" nullable:"false"`
}

// RunbookStory is a runbook with its latest runs, the newest first.
type RunbookStory struct {
	Runbook

	Remedies []Remedy `json:"remedies" nullable:"false" doc:"its latest runs, newest first"`
}

// Remedy is one run of a runbook and what came of it.
type Remedy struct {
	Run        runner.RunID   `json:"run"`
	BegunAt    time.Time      `json:"begun_at" doc:"when it was asked for"`
	Report     string         `json:"report" doc:"what the check reported then"`
	Outcome    runner.Outcome `json:"outcome" doc:"fixed, not_fixed, worse, observed, dropped or open"`
	Why        string         `json:"why" doc:"why that is known"`
	DecidedAt  *time.Time     `json:"decided_at"`
	RelapsedAt *time.Time     `json:"relapsed_at" doc:"when the same fault was there again within a day"`
	Disabled   bool           `json:"disabled" doc:"the runbook was paused because of this"`
}

// RunbookPlan is what a runbook would run now, and what would refuse it.
type RunbookPlan struct {
	Name       string           `json:"name"`
	Trigger    string           `json:"trigger" doc:"what starts it, in words"`
	Mode       string           `json:"mode" enum:"auto,approve,observe"`
	Check      string           `json:"check" doc:"how its check is, as far as the ledger knows"`
	Jobs       []PlannedJob     `json:"jobs" nullable:"false" doc:"what would run, in the order of the configuration"`
	Locks      []string         `json:"locks" nullable:"false" doc:"the named locks that they need"`
	Used       int              `json:"used" doc:"how many of max runs are used up"`
	Max        int              `json:"max"`
	PerSeconds float64          `json:"per_seconds" doc:"within how long"`
	Refusals   []RunbookRefusal `json:"refusals" nullable:"false" doc:"what would keep it from starting now"`
}

// PlannedJob is a job that would run.
type PlannedJob struct {
	Job   string   `json:"job"`
	Kind  string   `json:"kind"`
	Needs []string `json:"needs" nullable:"false"`
	If    string   `json:"if" doc:"its condition; empty without one"`
	About string   `json:"about" doc:"its description"`
}

// RunbookRefusal is one reason for which a runbook would not start.
type RunbookRefusal struct {
	Rule  string     `json:"rule"`
	Text  string     `json:"text"`
	Until *time.Time `json:"until" doc:"when it ends by itself; null when it does not"`
}
