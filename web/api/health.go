package api

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Check is how a check is.
type Check struct {
	Name   string            `json:"name"`
	Kind   string            `json:"kind" doc:"the kind of its probe, or heartbeat"`
	Impact string            `json:"impact" enum:"outage,degraded,none" doc:"what its failure means for users"`
	Health runner.Health     `json:"health" enum:"healthy,warning,unknown,critical" doc:"what counts, after so many answers in a row"`
	Answer runner.Health     `json:"answer" enum:"healthy,warning,unknown,critical" doc:"what the latest answer alone says"`
	Phase  runner.CheckPhase `json:"phase" enum:"well,suspect,failing,recovering"`
	// Message is one line without secrets.
	Message      string             `json:"message" doc:"what the latest answer says"`
	ErrorKind    string             `json:"error_kind" doc:"why there was no answer: dns, connect, tls, auth, timeout, status, body or internal; empty when there was one"`
	Cause        string             `json:"cause" doc:"the check on whose failure this one's is blamed"`
	Values       map[string]float64 `json:"values" nullable:"false" doc:"what the probe measured"`
	At           *time.Time         `json:"at" doc:"when the latest answer came"`
	TookSeconds  float64            `json:"took_seconds" doc:"how long it took"`
	Since        *time.Time         `json:"since" doc:"when its health became what it is"`
	LastGood     *time.Time         `json:"last_good" doc:"the last good answer"`
	FirstBad     *time.Time         `json:"first_bad" doc:"the first bad answer after that; null while all is well"`
	EverySeconds float64            `json:"every_seconds" doc:"how often it is asked; an answer older than twice that is stale"`
	WorstSeconds float64            `json:"worst_detection_seconds" doc:"how long a fault can last before it is on record; 0 when nobody watches"`

	CheckSetup
}

// NewCheck makes the JSON form of a report.
func NewCheck(r runner.CheckReport, worst time.Duration) Check {
	return Check{
		Name: r.Name, Kind: r.Kind, Impact: r.Impact, Health: r.Health, Answer: r.Answer, Phase: r.Phase,
		Message: r.Message, ErrorKind: r.ErrorKind, Cause: r.Cause, Values: r.Values, At: Instant(r.At), TookSeconds: r.Took.Seconds(),
		Since: Instant(r.Since), LastGood: Instant(r.LastGood), FirstBad: Instant(r.FirstBad),
		EverySeconds: r.Every.Seconds(), WorstSeconds: worst.Seconds(),
	}.Filled()
}

// Runner turns the answer back into a report.
func (v Check) Runner() runner.CheckReport {
	return runner.CheckReport{
		Name: v.Name, Kind: v.Kind, Impact: v.Impact, Health: v.Health, Answer: v.Answer, Phase: v.Phase,
		Message: v.Message, ErrorKind: v.ErrorKind, Cause: v.Cause, Values: v.Values, At: moment(v.At), Took: seconds(v.TookSeconds),
		Since: moment(v.Since), LastGood: moment(v.LastGood), FirstBad: moment(v.FirstBad), Every: seconds(v.EverySeconds),
	}
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

// Checks are the checks in the order of the configuration.
type Checks struct {
	OverallStatus runner.Health `json:"overall_status" enum:"healthy,warning,unknown,critical"`
	Checks        []Check       `json:"checks" nullable:"false"`
}

// NewChecks makes the JSON form of reports, all of which count.
func NewChecks(checks []Check) Checks {
	return Checks{OverallStatus: Overall(checks), Checks: converted(checks, Check.Filled)}
}

// Overall is the health of everything: the worst of all. A check without impact
// makes it a warning at most, and so does one that could not be asked unless
// its failure would be an outage. A heartbeat that waits for its first ping does
// not count.
func Overall(checks []Check) runner.Health {
	worst := runner.Healthy
	for _, c := range checks {
		h := c.Health
		if c.Kind == "heartbeat" && h == runner.HealthUnknown && c.Phase == runner.CheckWell {
			continue
		}
		if c.Impact == runner.ImpactNone && h != runner.Healthy || c.Impact != runner.ImpactOutage && h == runner.HealthUnknown {
			h = runner.HealthWarning
		}
		worst = runner.Worst(worst, h)
	}
	return worst
}

// SystemHealth is the health of what is looked after, in the form that its
// guide gives it: timestamp, overall_status and components.
type SystemHealth struct {
	// Timestamp is when it was said, in seconds since 1970.
	Timestamp     float64       `json:"timestamp"`
	OverallStatus runner.Health `json:"overall_status"`
	CheckedAt     *time.Time    `json:"checked_at,omitempty"`
	// Components are missing for who may not see them.
	Components map[string]Component `json:"components,omitempty"`
}

// Component is one check of a SystemHealth. The fields after the status that
// stand first are those of the guide, each where its kind measures it.
type Component struct {
	Status            runner.Health `json:"status"`
	CPUPercent        *float64      `json:"cpu_percent,omitempty"`
	MemoryPercent     *float64      `json:"memory_percent,omitempty"`
	DiskPercent       *float64      `json:"disk_percent,omitempty"`
	AvailableMemoryGB *float64      `json:"available_memory_gb,omitempty"`
	ResponseTimeMS    *float64      `json:"response_time_ms,omitempty"`
	Connection        string        `json:"connection,omitempty"`
	StatusCode        *int          `json:"status_code,omitempty"`
	Error             string        `json:"error,omitempty"`

	ErrorKind  string             `json:"error_kind,omitempty"`
	Kind       string             `json:"kind"`
	Impact     string             `json:"impact"`
	Phase      runner.CheckPhase  `json:"phase"`
	Answer     runner.Health      `json:"answer"`
	Message    string             `json:"message"`
	Cause      string             `json:"cause,omitempty"`
	CheckedAt  *time.Time         `json:"checked_at"`
	AgeSeconds *float64           `json:"age_seconds"`
	Since      *time.Time         `json:"since"`
	Values     map[string]float64 `json:"values,omitempty"`
}

// gibibyte is what the guide calls a GB: it divides by 1024 three times.
const gibibyte = 1 << 30

// NewSystemHealth makes the guide's form of checks.
func NewSystemHealth(checks []Check, now time.Time) SystemHealth {
	h := SystemHealth{
		Timestamp: float64(now.UnixMicro()) / 1e6, OverallStatus: Overall(checks), Components: make(map[string]Component, len(checks)),
	}
	for _, c := range checks {
		h.Components[c.Name] = newComponent(c, now)
		if c.At != nil && (h.CheckedAt == nil || c.At.Before(*h.CheckedAt)) {
			h.CheckedAt = c.At
		}
	}
	return h
}

func newComponent(c Check, now time.Time) Component {
	v := Component{
		Status: c.Health, Kind: c.Kind, Impact: c.Impact, Phase: c.Phase, Answer: c.Answer, Message: c.Message,
		ErrorKind: c.ErrorKind, Cause: c.Cause, CheckedAt: c.At, Since: c.Since, Values: c.Values,
	}
	if c.At == nil {
		return v
	}
	age := max(0, round(now.Sub(*c.At).Seconds(), 3))
	v.AgeSeconds = &age
	if c.ErrorKind != "" {
		v.Error = c.Message
	}
	took := c.TookSeconds
	if total, ok := c.Values["total_seconds"]; ok {
		took = total
	}
	ms := round(took*1000, 3)
	switch c.Kind {
	case "system":
		v.CPUPercent, v.MemoryPercent, v.DiskPercent = value(c, "cpu_percent"), value(c, "memory_percent"), value(c, "disk_percent")
		if free := value(c, "available_memory_bytes"); free != nil {
			gb := round(*free/gibibyte, 2)
			v.AvailableMemoryGB = &gb
		}
	case "heartbeat":
	case "http":
		if code := value(c, "status"); code != nil {
			whole := int(*code)
			v.StatusCode = &whole
		}
		v.ResponseTimeMS = &ms
	case "pgping", "redisping", "tcp":
		v.Connection = "active"
		if c.ErrorKind != "" {
			v.Connection = "failed"
		}
		v.ResponseTimeMS = &ms
	default:
		v.ResponseTimeMS = &ms
	}
	return v
}

func value(c Check, name string) *float64 {
	if v, ok := c.Values[name]; ok {
		return &v
	}
	return nil
}

func round(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// HealthDocument is the health of what is looked after in the form of
// draft-inadarei-api-health-check-06, application/health+json.
type HealthDocument struct {
	Status      string                  `json:"status"`
	Version     string                  `json:"version"`
	Description string                  `json:"description"`
	Output      string                  `json:"output,omitempty"`
	Checks      map[string][]HealthItem `json:"checks,omitempty"`
}

// HealthItem is one measurement of a HealthDocument.
type HealthItem struct {
	ComponentType string     `json:"componentType"`
	ObservedValue *float64   `json:"observedValue,omitempty"`
	ObservedUnit  string     `json:"observedUnit,omitempty"`
	Status        string     `json:"status"`
	Time          *time.Time `json:"time,omitempty"`
	Output        string     `json:"output,omitempty"`
}

// NewHealthDocument makes the standard's form of a SystemHealth.
func NewHealthDocument(h SystemHealth) HealthDocument {
	d := HealthDocument{Status: passing(h.OverallStatus, true), Version: "1", Description: "health of what upkeep looks after", Checks: map[string][]HealthItem{}}
	var bad []string
	for _, name := range slices.Sorted(maps.Keys(h.Components)) {
		c := h.Components[name]
		item := HealthItem{ComponentType: componentType(c.Kind), Status: passing(c.Status, c.Impact == runner.ImpactOutage), Time: c.CheckedAt}
		if item.Status != "pass" {
			item.Output = c.Message
			bad = append(bad, fmt.Sprintf("%s %s", name, c.Status))
		}
		add := func(what string, observed *float64, unit string) {
			if observed != nil {
				item.ObservedValue, item.ObservedUnit = observed, unit
				d.Checks[name+":"+what] = []HealthItem{item}
			}
		}
		add("responseTime", c.ResponseTimeMS, "ms")
		add("cpu", c.CPUPercent, "percent")
		add("memory", c.MemoryPercent, "percent")
		add("disk", c.DiskPercent, "percent")
		if item.ObservedValue == nil {
			d.Checks[name] = []HealthItem{item}
		}
	}
	for i, text := range bad {
		if i > 0 {
			d.Output += ", "
		}
		d.Output += text
	}
	return d
}

// passing translates a health into the standard's words. What is required and
// unknown fails; the rest that is unknown warns.
func passing(h runner.Health, required bool) string {
	switch {
	case h == runner.Healthy:
		return "pass"
	case h == runner.HealthCritical, h == runner.HealthUnknown && required:
		return "fail"
	}
	return "warn"
}

func componentType(kind string) string {
	switch kind {
	case "system":
		return "system"
	case "pgping", "redisping":
		return "datastore"
	}
	return "component"
}

// PingRequest is what a heartbeat is told.
type PingRequest struct {
	// Start tells that the work begins; Code is its exit code when it has ended.
	Start bool
	Code  int
	// Text is what it says.
	Text string
}
