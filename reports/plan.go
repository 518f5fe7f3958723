package reports

import (
	"time"
)

// CountValue is the value with which check_model_performance.py says on how many
// predictions an accuracy rests.
const CountValue = "labelled" //nolint:misspell // as the script writes it

// The names of the figures, in the order in which they are shown.
const (
	Uptime          = "uptime"
	ResponseTime    = "response_time"
	ErrorRate       = "error_rate"
	Throughput      = "throughput"
	Accuracy        = "accuracy"
	ModelLatency    = "model_latency"
	DriftDetection  = "drift_detection"
	Retraining      = "retraining"
	MTTD            = "mttd"
	MTTR            = "mttr"
	DeployFrequency = "deploy_frequency"
	ChangeFailure   = "change_failure"
)

// Names lists the figures in the order in which they are shown.
func Names() []string {
	return []string{
		Uptime, ResponseTime, ErrorRate, Throughput, Accuracy, ModelLatency, DriftDetection, Retraining,
		MTTD, MTTR, DeployFrequency, ChangeFailure,
	}
}

// JobName names a job of a workflow; the zero JobName is none.
type JobName struct{ Workflow, Job string }

// String writes it as on the command line.
func (j JobName) String() string {
	if j == (JobName{}) {
		return ""
	}
	return j.Workflow + "." + j.Job
}

// Check is what has to be known of a configured check.
type Check struct {
	Name string
	// Every is how often it is asked.
	Every time.Duration
	// Worst is how long it takes at most from a fault to its incident; 0 when
	// that is not known.
	Worst time.Duration
}

// LatencyAim is the target of a 95th percentile.
type LatencyAim struct {
	Target time.Duration
	// Histogram is the name of the scraped histogram, "scrape.NAME.METRIC"; the
	// buckets are the series that begin with it and ".le_". Empty for none.
	Histogram string
	// Checks stand in when there is no histogram: how long their probes took.
	Checks []string
	// Job stands in otherwise: its value Value, in seconds, is a 95th
	// percentile that a script measured. StaleAfter is as for ResultAim.
	Job        JobName
	Value      string
	StaleAfter time.Duration
}

// ResultAim is the target of a value that a job finds out.
type ResultAim struct {
	// Target is a share.
	Target float64
	Job    JobName
	// Value is the name of the value, Count that of how much it rests on.
	Value, Count string
	// Cautious judges by the lower end of the 95 % interval (Wilson).
	Cautious bool
	// StaleAfter is the age from which a result says nothing about today; 0 for
	// any.
	StaleAfter time.Duration
}

// RateAim is the target of what counters of requests tell.
type RateAim struct {
	// Target is a share for errors and per minute for throughput.
	Target float64
	// All and Bad are the series with the requests of every minute, and with
	// those of them that failed. Empty for none.
	All, Bad string
	// Checks stand in when there are no counters: how many of their answers were
	// bad.
	Checks []string
	// Capacity is a series with what a test of load has shown; empty for none.
	Capacity string
}

// Plan says which figures are wanted, and where they come from.
type Plan struct {
	// Window is how far the figures look back, from an hour.
	Window time.Duration
	// Zone is where days and weeks begin.
	Zone *time.Location
	// Checks are the configured checks.
	Checks []Check
	// UptimeTarget is a share; UptimeChecks are the checks whose failure is an
	// outage. Planned are workflows during whose runs an outage is planned.
	UptimeTarget float64
	UptimeChecks []string
	Planned      []string

	Response, Model   LatencyAim
	Errors, Demand    RateAim
	Accuracy          ResultAim
	Drift, Retraining JobAim

	// MTTD and MTTR are means of incidents of checks.
	MTTD, MTTR time.Duration
	// DeployTarget is a share of working days; FailureTarget one of deploys.
	DeployTarget, FailureTarget float64
	// SuspectWithin is how long after a deploy an incident is suspected to come
	// from it; LeastDeploys is how many deploys tell something.
	SuspectWithin time.Duration
	LeastDeploys  int
}

// JobAim is the target of how often a job does its work.
type JobAim struct {
	Job JobName
	// Target is the longest gap between two times for Drift; Retraining counts
	// weeks and leaves it 0.
	Target time.Duration
}

// check returns what is known of a check.
func (p Plan) check(name string) Check {
	for _, c := range p.Checks {
		if c.Name == name {
			return c
		}
	}
	return Check{Name: name, Every: 30 * time.Second}
}

// Guide returns the targets of the guide over 30 days, without sources.
func Guide() Plan {
	return Plan{
		Window: 30 * 24 * time.Hour, Zone: time.UTC, UptimeTarget: 0.999,
		Response: LatencyAim{Target: 200 * time.Millisecond}, Model: LatencyAim{Target: 100 * time.Millisecond},
		Errors: RateAim{Target: 0.001}, Demand: RateAim{Target: 1000},
		Accuracy: ResultAim{Target: 0.9, Value: "accuracy", Count: CountValue},
		Drift:    JobAim{Target: 24 * time.Hour},
		MTTD:     5 * time.Minute, MTTR: 15 * time.Minute,
		DeployTarget: 1, FailureTarget: 0.05, SuspectWithin: 2 * time.Hour, LeastDeploys: 20,
	}
}
