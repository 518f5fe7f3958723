package runner

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Health is how something that is checked is.
type Health string

// The healths, the best first.
const (
	Healthy        Health = "healthy"
	HealthWarning  Health = "warning"
	HealthUnknown  Health = "unknown" // not asked yet, an answer that is too old, or a probe that is itself at fault
	HealthCritical Health = "critical"
)

// Worst returns the worst of several healths: critical, then unknown, then
// warning; healthy when there are none.
func Worst(healths ...Health) Health {
	order := []Health{Healthy, HealthWarning, HealthUnknown, HealthCritical}
	worst := 0
	for _, h := range healths {
		rank := slices.Index(order, h)
		if rank < 0 {
			rank = slices.Index(order, HealthUnknown)
		}
		worst = max(worst, rank)
	}
	return order[worst]
}

// The impacts of checks: what it means for users when one fails.
const (
	ImpactOutage   = "outage"
	ImpactDegraded = "degraded"
	ImpactNone     = "none"
)

// CheckPhase is where a check stands between well and failed.
type CheckPhase string

// The phases. A check that is not well becomes suspect, failing after so many
// bad answers in a row, recovering with the first good one, and well after so
// many of these.
const (
	CheckWell       CheckPhase = "well"
	CheckSuspect    CheckPhase = "suspect"
	CheckFailing    CheckPhase = "failing"
	CheckRecovering CheckPhase = "recovering"
)

// CheckOn is the name of the instance of a check that one node asks of those
// that every node asks: NAME@NODE, the node in lower-case letters, digits, dots,
// dashes and underscores.
func CheckOn(check, node string) string {
	return check + "@" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_':
			return r
		}
		return '-'
	}, strings.ToLower(node))
}

// CheckBase is the name of the check in the configuration of which name may be
// one node's instance.
func CheckBase(name string) string {
	base, _, _ := strings.Cut(name, "@")
	return base
}

// CheckReport is what is known of one check after an answer of its probe.
type CheckReport struct {
	// Name is the check's, Kind that of its probe, Impact one of the impacts.
	Name, Kind, Impact string
	// Health is what counts, after so many answers in a row; Answer is what the
	// latest answer alone says. Phase is where the check stands.
	Health, Answer Health
	Phase          CheckPhase
	// Message says in one line, without secrets, what the latest answer says;
	// ErrorKind is one word for why there is none: dns, connect, tls, auth,
	// timeout, status, body, internal; empty when there is one.
	Message, ErrorKind string
	// Values are those of the probe's result.
	Values map[string]float64
	// At is when the latest answer came, Took how long it took.
	At   time.Time
	Took time.Duration
	// Since is when Health became what it is; LastGood and FirstBad are the
	// instants of the last good answer and of the first bad one after it, the
	// latter zero while all is well.
	Since, LastGood, FirstBad time.Time
	// Every is how often it is asked. An answer older than twice that is stale.
	Every time.Duration
	// Cause names the check on whose failure this one's is blamed; empty for
	// none.
	Cause string
	// Node is the node that asks it; empty for this one.
	Node string
}

// CheckReader tells how the checks are. It reads memory only.
type CheckReader interface {
	// Reports returns the report of every configured check in the order of the
	// configuration; Health is unknown before the first answer and when the
	// latest is stale.
	Reports(ctx context.Context) []CheckReport
}

// CheckObserver is told of every answer of a check: metrics and runbooks are
// some.
type CheckObserver interface {
	// Checked is called after an answer was judged and what follows for
	// incidents is on record, by one goroutine at a time for each check. It does
	// not block.
	Checked(ctx context.Context, report CheckReport)
}
