package runbook

import (
	"time"

	"github.com/ghosteam/upkeep/runner/schedule"
)

// Mode is what happens when a runbook is due.
type Mode string

// The modes.
const (
	Auto    Mode = "auto"    // it runs
	Approve Mode = "approve" // it runs when somebody approves it
	Observe Mode = "observe" // a dry run shows what it would do
)

// Limits bound how often a runbook runs because of its check.
type Limits struct {
	// Cooldown is the shortest time between the end of one run and the beginning
	// of the next.
	Cooldown time.Duration
	// Max is how many runs may begin within Per.
	Max int
	Per time.Duration
	// Grace is how long after its end the check may take to be well. Until then
	// no answer counts against it.
	Grace time.Duration
}

// The limits of runbooks that say nothing about them.
const (
	DefaultCooldown = 30 * time.Minute
	DefaultMax      = 2
	DefaultPer      = 24 * time.Hour
	DefaultGrace    = 2 * time.Minute
)

// Runbook is a workflow that a check starts.
type Runbook struct {
	// Name is that of the workflow.
	Name    string
	Trigger Trigger
	Mode    Mode
	Limits  Limits
	// Window is when it may start by itself.
	Window schedule.Window
}

// Relapse is how long after a fix the same fault counts as come back.
const Relapse = 24 * time.Hour

// inVain is how many runs in a row that do not help end a runbook.
const inVain = 2

// Fingerprint identifies the fault of a runbook that does not help.
func Fingerprint(name string) string { return "runbook/" + name }

// CheckFingerprint identifies the fault of a check.
func CheckFingerprint(check string) string { return "check/" + check }
