package forecast

import (
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// Workflow is what the forecast needs to know about a workflow.
type Workflow struct {
	Name string
	// Schedule says when it is due; the zero Schedule means never by itself.
	Schedule schedule.Schedule
	Window   schedule.Window
	// Delay is by how much jitter delays its starts on this node.
	Delay time.Duration
	// Overlap is what happens when the run before it still runs; empty means
	// runner.OverlapSkip, as in the configuration.
	Overlap runner.Overlap
	// Timeout bounds a run; 0 means none.
	Timeout time.Duration
	// Locks are the lock keys of its jobs, Databases the names of the
	// configured databases that they use, each in any order.
	Locks, Databases []string
	// RunsOn says in words where it runs, such as "any"; it is shown as it is.
	RunsOn string
}

// Input is what a forecast is made from.
type Input struct {
	// Workflows are those that this node may run, each name once.
	Workflows []Workflow
	// Usual is how long workflows usually take, by name.
	Usual map[string]runner.Usual
	// Pauses are the pauses in force.
	Pauses []runner.Pause
	// Now is when the forecast is made; it looks at slots after Now up to and
	// including Until.
	Now, Until time.Time
	// MaxRunning is the most runs at once; 0 or less means no limit.
	MaxRunning int
	// MaxLines is the most Slots of the answer, 0 means DefaultMaxLines.
	MaxLines int
	// MaxEach is the most slots of one workflow that are listed one by one; a
	// workflow with more becomes one line. 0 means four for each day looked at,
	// at least eight.
	MaxEach int
	// MaxSteps bounds the simulation of workflows that became one line, in
	// slots; 0 means DefaultMaxSteps.
	MaxSteps int
}

// Bounds of a forecast.
const (
	DefaultMaxLines = 2_000
	DefaultMaxSteps = 1_000_000
	// MaxOfKind is the most findings of one kind; the others are counted.
	MaxOfKind = 50
	// MaxNamed is how many workflows a finding names.
	MaxNamed = 5
)

// Fate is what is expected to become of a slot.
type Fate string

// The fates.
const (
	FateRuns    Fate = "runs"
	FateWaits   Fate = "waits"   // it runs, after others have ended
	FatePaused  Fate = "paused"  // skipped: the workflow is paused
	FateWindow  Fate = "window"  // skipped: outside its window, or the window closes too early
	FateOverlap Fate = "overlap" // skipped: the run before it still runs
)

// Skipped tells whether the slot does not run.
func (f Fate) Skipped() bool { return f != FateRuns && f != FateWaits }

// Slot is one coming slot, or all slots of a workflow that runs often.
type Slot struct {
	Workflow string
	// RunsOn is that of the workflow.
	RunsOn string
	// Slot is when it is due, in the zone of its schedule. Of several it is
	// the first.
	Slot time.Time
	// Count is how many slots the line stands for, 1 most often. Of several,
	// Last is the last one, Rule says when they come, and Skipped is how many of
	// those simulated are expected not to run.
	Count   int64
	Last    time.Time
	Rule    string
	Skipped int64
	// Delay is by how much jitter delays the start.
	Delay time.Duration
	// Usual is how long the run usually takes, 0 when that is unknown.
	Usual time.Duration
	// Starts and Ends are when the run is expected to begin and to end, in the
	// zone of its schedule; zero when it does not run, and for several slots.
	// Ends is zero without Usual.
	Starts, Ends time.Time
	// Fate is what is expected of the slot; empty for several. Why says it in
	// words, empty when it just runs.
	Fate Fate
	Why  string
}

// Kind is what a finding is about.
type Kind string

// The kinds.
const (
	KindOverlap  Kind = "overlap"  // a workflow meets itself
	KindBusy     Kind = "busy"     // more runs at once than max_running
	KindLock     Kind = "lock"     // two workflows want one lock
	KindDatabase Kind = "database" // two workflows use one database at once
	KindWindow   Kind = "window"   // a window is closed or closes too early
	KindTimeout  Kind = "timeout"  // a workflow comes close to its timeout
	KindClock    Kind = "clock"    // a clock change touches a schedule
	KindMonth    Kind = "month"    // a month has no day of the schedule
	KindPause    Kind = "pause"    // a pause swallows slots
	KindEmpty    Kind = "empty"    // a schedule has no slot in the time looked at
	KindTogether Kind = "together" // several workflows start in the same minute
	KindUnknown  Kind = "unknown"  // the forecast does not know everything
)

// Finding is one thing that somebody could want to know.
type Finding struct {
	Severity jobs.Severity
	Kind     Kind
	// Workflows are those it is about, at most MaxNamed, in order of names;
	// Others counts those not named.
	Workflows []string
	Others    int
	// At is when it happens first, UTC; zero when it is not about an instant.
	At time.Time
	// Count is how often it happens in the time looked at, 1 most often.
	Count int64
	// Text says it in one sentence; Hint is what can be done, or empty.
	Text, Hint string
}

// Forecast is what is expected of the time from From to Until.
type Forecast struct {
	From, Until time.Time
	// Slots are the coming slots in order of time and name.
	Slots []Slot
	// Total counts all slots; Listed those that Slots stands for.
	Total, Listed int64
	// Findings are ordered by severity, the worst first, then by time, kind
	// and name. Unlisted counts by kind what MaxOfKind left out.
	Findings []Finding
	Unlisted map[Kind]int
	// Worst is the worst severity of all findings, also of those left out;
	// empty without any.
	Worst jobs.Severity
}
