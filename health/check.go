package health

import (
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// KindHeartbeat is the kind of checks that are told instead of asked.
const KindHeartbeat = "heartbeat"

// The defaults of what a check leaves out.
const (
	DefaultEvery     = 30 * time.Second
	DefaultRetry     = 10 * time.Second
	DefaultFailAfter = 3
	DefaultOKAfter   = 2
	DefaultTimeout   = 10 * time.Second
	DefaultGrace     = time.Hour
)

// Check is what the configuration says about a check.
type Check struct {
	// Name is unique; Kind is that of its probe, or KindHeartbeat.
	Name, Kind string
	// Impact is one of runner's impacts.
	Impact string
	// Every is how often it is asked, RetryEvery how often while it is suspect
	// or recovering, Timeout how long one answer may take. All are above 0.
	Every, RetryEvery, Timeout time.Duration
	// FailAfter and OKAfter are at least 1.
	FailAfter, OKAfter int
	// DependsOn are the names of checks whose failure explains this one's. They
	// make no circle.
	DependsOn []string
	// Slug is where a heartbeat is told, Grace how late it may be.
	Slug  string
	Grace time.Duration
	// Quiet keeps it from becoming an incident.
	Quiet bool
	// Node is the other node that asks it; empty for this one. What is known of
	// it then is what stands on record.
	Node string
	// Digest tells one definition from another of the same name.
	Digest string
}

// WorstDetection is how long a fault can last before it is on record: it begins
// just after a good answer, and every answer takes as long as it may.
func (c Check) WorstDetection() time.Duration {
	if c.Kind == KindHeartbeat {
		return c.Every + c.Grace + time.Duration(c.FailAfter-1)*c.RetryEvery
	}
	// The next answer is asked for retry_every after the one before was, and
	// not before that one has come.
	return c.Every + time.Duration(c.FailAfter-1)*max(c.RetryEvery, c.Timeout) + c.Timeout
}

// Prober makes probes.
type Prober interface {
	// Open makes the probe of a check anew, with its references resolved now.
	// The texts are the secrets that it can see, also beside an error.
	Open(check string) (probe jobs.Job, secrets []string, err error)
}

// UnknownError says that there is no such check.
type UnknownError struct {
	// What is "check" or "heartbeat"; Name is what was asked for, Known what
	// there is.
	What, Name string
	Known      []string
}

// Error names what is missing.
func (e *UnknownError) Error() string { return fmt.Sprintf("there is no %s %q", e.What, e.Name) }
