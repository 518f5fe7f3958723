package metrics

import (
	"context"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/runner"
)

var _ runner.CheckObserver = (*Set)(nil)

// checkMetrics are the metrics of checks, and of this machine as the checks of
// kind system find it.
type checkMetrics struct {
	status            *gauges
	answers           *counters
	took              *histograms
	last              *gauges
	cpu, memory, disk *gauges
}

func newCheckMetrics(m maker) checkMetrics {
	return checkMetrics{
		status:  m.gauges("upkeep_check_status", "1 for the status that the check has, 0 for the others.", "check", "status"),
		answers: m.counters("upkeep_check_runs_total", "Answers of the check, by what each says alone.", "check", "status"),
		took:    m.histograms("upkeep_check_duration_seconds", "How long its answers took.", latencies(), "check"),
		last:    m.gauges("upkeep_check_last_run_timestamp_seconds", "When its latest answer came; 0 for never.", "check"),
		cpu:     m.gauges("upkeep_host_cpu_usage_ratio", "The share of the processors that is in use, 0 to 1."),
		memory:  m.gauges("upkeep_host_memory_usage_ratio", "The share of the memory that is not available, 0 to 1."),
		disk:    m.gauges("upkeep_host_disk_usage_ratio", "The share of a file system that is in use, 0 to 1; root is /.", "mount"),
	}
}

// healths are all healths, the best first.
func healths() []runner.Health {
	return []runner.Health{runner.Healthy, runner.HealthWarning, runner.HealthUnknown, runner.HealthCritical}
}

func (m *checkMetrics) configure(i Inventory) {
	for _, name := range i.Checks {
		for _, h := range healths() {
			add(m.answers, 0, name, string(h))
		}
		_, _ = m.took.with(name)
		if _, ok := m.last.with(name); !ok {
			continue
		}
		m.status.room.mu.Lock()
		_, told := m.status.known[name+"\xff"+string(runner.HealthUnknown)]
		m.status.room.mu.Unlock()
		if !told {
			m.is(name, runner.HealthUnknown)
		}
	}
	gone := unless(i.Checks)
	m.status.forget(gone)
	m.answers.forget(gone)
	m.took.forget(gone)
	m.last.forget(gone)
}

// is shows the status of a check.
func (m *checkMetrics) is(check string, status runner.Health) {
	for _, h := range healths() {
		value := 0.0
		if h == status {
			value = 1
		}
		set(m.status, value, check, string(h))
	}
}

// Checked implements runner.CheckObserver.
func (s *Set) Checked(_ context.Context, r runner.CheckReport) {
	s.mu.Lock()
	known := slices.Contains(s.inventory.Checks, r.Name)
	s.mu.Unlock()
	if !known {
		return
	}
	s.checks.is(r.Name, runner.Worst(r.Health))
	add(s.checks.answers, 1, r.Name, string(runner.Worst(r.Answer)))
	observe(s.checks.took, max(0, r.Took.Seconds()), r.Name)
	set(s.checks.last, seconds(r.At), r.Name)
	if r.Kind == "system" {
		s.measured(r.Values)
	}
}

// Stands shows how a check is, for what nobody tells: that its latest answer has
// become too old.
func (s *Set) Stands(check string, health runner.Health) {
	s.mu.Lock()
	known := slices.Contains(s.inventory.Checks, check)
	s.mu.Unlock()
	if known {
		s.checks.is(check, runner.Worst(health))
	}
}

// measured takes what a check of kind system found out about this machine.
func (s *Set) measured(values map[string]float64) {
	for name, percent := range values {
		switch mount, isDisk := strings.CutPrefix(name, "disk_percent."); {
		case name == "cpu_percent":
			set(s.checks.cpu, percent/100)
			set(s.seed.cpu, percent)
		case name == "memory_percent":
			set(s.checks.memory, percent/100)
			set(s.seed.memory, percent)
		case isDisk:
			set(s.checks.disk, percent/100, mount)
		}
	}
	// A container may have no file system of its own at /.
	for _, name := range []string{"disk_percent.root", "disk_percent"} {
		if percent, ok := values[name]; ok {
			set(s.seed.disk, percent)
			break
		}
	}
}
