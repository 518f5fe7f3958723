package metrics

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// processMetrics are the metrics of this process and of what it is told.
type processMetrics struct {
	build                *gauges
	reloadOK, reloadedAt *gauges
	records              *counters
	lost                 *counters
	deployments, events  *counters
	runbooks             *counters
	value, target, met   *gauges
}

func newProcessMetrics(m maker) processMetrics {
	p := processMetrics{
		build:       m.gauges("upkeep_build_info", "1; the labels say which upkeep this is.", "version", "commit"),
		reloadOK:    m.gauges("upkeep_config_last_reload_successful", "Whether the configuration on disk was taken at the last attempt."),
		reloadedAt:  m.gauges("upkeep_config_last_reload_success_timestamp_seconds", "When the configuration in force was taken."),
		records:     m.counters("upkeep_log_records_total", "Records that were logged, by level.", "level"),
		lost:        m.counters("upkeep_log_records_lost_total", "Records that could not be written to the file of the log."),
		deployments: m.counters("upkeep_deployments_total", "Deployments that upkeep was told of, by result.", "result"),
		events:      m.counters("upkeep_events_total", "What happened to the system, by kind; other stands for all that are not listed.", "kind"),
		runbooks:    m.counters("upkeep_runbook_runs_total", "Runs of runbooks that ended, by what came of them.", "runbook", "outcome"),
		value:       m.gauges("upkeep_kpi_value", "What an operational figure is; absent while it cannot be told.", "kpi"),
		target:      m.gauges("upkeep_kpi_target", "What it should be.", "kpi"),
		met:         m.gauges("upkeep_kpi_met", "Whether it is as it should be; absent while that cannot be told.", "kpi"),
	}
	for _, l := range levels() {
		add(p.records, 0, l)
	}
	add(p.lost, 0)
	for _, result := range deployResults() {
		add(p.deployments, 0, result)
	}
	for _, kind := range eventKinds() {
		add(p.events, 0, kind)
	}
	return p
}

func levels() []string        { return []string{"debug", "info", "warn", "error"} }
func deployResults() []string { return []string{"ok", "failed", "rollback"} }

// otherKind stands for kinds of events that are not listed: anybody can make up
// one.
const otherKind = "other"

func eventKinds() []string {
	return []string{"certificate", "deploy", "disk", "drain", "packages", "pause", "reload", "restart", otherKind}
}

// Logged counts a record of the log.
func (s *Set) Logged(level slog.Level) {
	word := "debug"
	switch {
	case level >= slog.LevelError:
		word = "error"
	case level >= slog.LevelWarn:
		word = "warn"
	case level >= slog.LevelInfo:
		word = "info"
	}
	add(s.process.records, 1, word)
}

// LogLost counts a record that could not be written to the file of the log.
func (s *Set) LogLost() { add(s.process.lost, 1) }

// Loaded takes whether a configuration came into force at an instant; the one
// before stays otherwise.
func (s *Set) Loaded(at time.Time, ok bool) {
	if !ok {
		set(s.process.reloadOK, 0)
		return
	}
	set(s.process.reloadOK, 1)
	set(s.process.reloadedAt, seconds(at))
}

// Happened counts an event that was put on record.
func (s *Set) Happened(h runner.Happening) {
	kind := h.Kind
	if !slices.Contains(eventKinds(), kind) {
		kind = otherKind
	}
	add(s.process.events, 1, kind)
	if kind != "deploy" {
		return
	}
	// VERSION RESULT, and a note behind a colon.
	words := strings.Fields(h.Text)
	result := deployResults()[0]
	if len(words) > 1 {
		if said := strings.TrimSuffix(words[1], ":"); slices.Contains(deployResults(), said) {
			result = said
		}
	}
	add(s.process.deployments, 1, result)
}

// outcomes are what runs of runbooks come to.
func outcomes() []runner.Outcome {
	return []runner.Outcome{runner.OutcomeFixed, runner.OutcomeNotFixed, runner.OutcomeWorse, runner.OutcomeObserved, runner.OutcomeDropped}
}

// mostRemedied bounds of how many remedies it is remembered that they were
// counted.
const mostRemedied = 1000

// Remedied counts a remedy, once, when its outcome is on record.
func (s *Set) Remedied(r runner.Remedy) {
	if !slices.Contains(outcomes(), r.Outcome) || !s.known(r.Workflow) {
		return
	}
	s.mu.Lock()
	again := slices.Contains(s.remedied, r.Run)
	if !again {
		s.remedied = append(s.remedied, r.Run)
		s.remedied = s.remedied[max(0, len(s.remedied)-mostRemedied):]
	}
	s.mu.Unlock()
	if !again {
		add(s.process.runbooks, 1, r.Workflow, string(r.Outcome))
	}
}

func (p *processMetrics) configure(i Inventory) {
	var runbooks []string
	for _, w := range i.Workflows {
		if !w.Runbook {
			continue
		}
		runbooks = append(runbooks, w.Name)
		for _, outcome := range outcomes() {
			add(p.runbooks, 0, w.Name, string(outcome))
		}
	}
	p.runbooks.forget(unless(runbooks))
}

// Figure is one operational figure with its target.
type Figure struct {
	// Name is one of a closed list of names.
	Name string
	// Value and Target are in the unit that the name says. Known tells whether
	// there is a value, Judged whether Met says something.
	Value, Target      float64
	Known, Judged, Met bool
}

// Figures shows operational figures, and no others from now on.
func (s *Set) Figures(figures ...Figure) {
	p := &s.process
	var named, known, judged []string
	for _, f := range figures {
		named = append(named, f.Name)
		set(p.target, f.Target, f.Name)
		if f.Known {
			known = append(known, f.Name)
			set(p.value, f.Value, f.Name)
		}
		if f.Judged {
			judged = append(judged, f.Name)
			met := 0.0
			if f.Met {
				met = 1
			}
			set(p.met, met, f.Name)
		}
	}
	p.target.forget(unless(named))
	p.value.forget(unless(known))
	p.met.forget(unless(judged))
}
