package alerts

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// The fingerprints of faults of upkeep itself.
const (
	FingerprintDisk   = "upkeep/disk"
	FingerprintReload = "upkeep/reload"
	FingerprintDrain  = "upkeep/drain"
)

// Stale is the fault of a workflow that did not succeed within the time that
// its `fresh_within` allows, on one host when every node runs it for itself. since is its latest success, or, when never is
// set, when it was first seen. It has the fingerprint of the workflow's other
// faults, so that a workflow that fails until it is stale alerts once, and its
// next success ends both. Raise it once per transition, not at every look.
func (p *Policy) Stale(workflow, host string, since time.Time, never bool, within time.Duration, at time.Time) runner.Fault {
	what := workflow
	if host != "" {
		what += " on " + host
	}
	title := fmt.Sprintf("%s has not succeeded since %s, %s ago; it must every %s",
		what, since.UTC().Format("2006-01-02 15:04 UTC"), rough(at.Sub(since)), unit.Duration(within))
	if never {
		title = fmt.Sprintf("%s has never succeeded, %s after it was first seen; it must every %s",
			what, rough(at.Sub(since)), unit.Duration(within))
	}
	return p.address(runner.Fault{
		Fingerprint: Fingerprint(workflow, host), Workflow: workflow, Reason: ReasonStale, Title: title, At: at,
	})
}

// Stuck is the fault of a run that has been under way for far longer than its
// workflow usually takes, which is 0 when nobody knows. It has the fingerprint
// of the workflow's other faults. Raise it once per run.
func (p *Policy) Stuck(run runner.Run, usual time.Duration, at time.Time) runner.Fault {
	title := fmt.Sprintf("%s has been running for %s", run.Spec.Workflow, rough(at.Sub(run.StartedAt)))
	if usual > 0 {
		title += ", usually it takes " + rough(usual)
	}
	return p.address(runner.Fault{
		Fingerprint: Fingerprint(run.Spec.Workflow, run.Host), Workflow: run.Spec.Workflow,
		Reason: ReasonStuck, Title: jobs.OneLine(title), Run: run.ID, At: at,
	})
}

// DiskFull is the fault of a disk without room: no run starts until there is
// some. path is what lies on the disk, such as the ledger.
func (p *Policy) DiskFull(path string, at time.Time) runner.Fault {
	return p.address(runner.Fault{
		Fingerprint: FingerprintDisk, Severity: jobs.Critical, Reason: ReasonDiskFull, At: at,
		Title: jobs.OneLine("the disk of " + path + " is full: no run starts until there is room"),
	})
}

// ReloadFailed is the fault of a changed configuration that was refused, so
// that the one before stays in force. why says it in one line without secrets.
func (p *Policy) ReloadFailed(why string, at time.Time) runner.Fault {
	return p.address(runner.Fault{
		Fingerprint: FingerprintReload, Severity: jobs.Warning, Reason: ReasonReload, At: at,
		Title: jobs.OneLine("the changed configuration was refused, the one before stays in force: " + why),
	})
}

// Drained is the fault of a service that was drained at since and is drained
// still: nothing starts, and whoever did it may have forgotten.
func (p *Policy) Drained(since, at time.Time) runner.Fault {
	return p.address(runner.Fault{
		Fingerprint: FingerprintDrain, Severity: jobs.Warning, Reason: ReasonDrained, At: at,
		Title: fmt.Sprintf("upkeep has been drained for %s: nothing starts", rough(at.Sub(since))),
	})
}

// CheckFingerprint identifies the fault of a check.
func CheckFingerprint(check string) string { return "check/" + check }

// Unhealthy is the fault of a check whose Health is not Healthy, with what was
// found when it began. A critical one is critical, unless it has no impact on
// users; a warning, and a check that could not be made, is a warning. A failure
// that is blamed on another check has that one's fault as its parent. Raise it
// with every answer that changes the health, and clear the fingerprint when the
// check is healthy again.
func (p *Policy) Unhealthy(r runner.CheckReport, evidence ...runner.Evidence) runner.Fault {
	f := runner.Fault{
		Fingerprint: CheckFingerprint(r.Name), Check: runner.CheckBase(r.Name), Severity: jobs.Warning, Reason: ReasonCheck, At: r.At,
		LastGood: r.LastGood, FirstBad: r.FirstBad, Evidence: evidence, Title: checkTitle(r),
	}
	if r.Health == runner.HealthCritical && r.Impact != runner.ImpactNone {
		f.Severity = jobs.Critical
	}
	if most := p.checks[f.Check].Severity; most != "" && f.Severity.Rank() > most.Rank() {
		f.Severity = most
	}
	if r.Cause != "" {
		f.Parent = CheckFingerprint(r.Cause)
	}
	return p.address(f)
}

// checkTitle says in one line how a check is.
func checkTitle(r runner.CheckReport) string {
	title := r.Name + " is " + string(r.Health)
	if r.Health == runner.HealthUnknown {
		title = r.Name + " could not be checked"
	}
	if r.Message != "" {
		title += ": " + r.Message
	}
	return jobs.OneLine(title)
}

// runTitle says in one line what became of a run.
func runTitle(run runner.Run, reason string) string {
	what := run.Spec.Workflow
	if run.Host != "" {
		what += " on " + run.Host
	}
	switch {
	case reason == ReasonMissed && run.Slots > 1:
		what += fmt.Sprintf(" missed %d slots", run.Slots)
	case reason == ReasonMissed:
		what += " missed its slot"
	case reason == ReasonLost:
		what += " was lost"
	case run.Reason == runner.ReasonTimeout:
		what += " timed out"
	case run.State == runner.Canceled:
		what += " was canceled"
	default:
		what += " failed"
	}
	if run.Message != "" {
		what += ": " + run.Message
	}
	return jobs.OneLine(what)
}

// rough writes d for people, in at most two units.
func rough(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
	}
}
