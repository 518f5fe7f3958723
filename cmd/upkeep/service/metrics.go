package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/metrics"
	"github.com/ghosteam/upkeep/runner/ticker"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web"
)

// measureEvery is how often the service looks at what nobody tells it of: the
// incidents, the outbox and the coming slots.
const measureEvery = 15 * time.Second

// figureEvery is how often it computes the operational figures, which reads
// their whole window.
const figureEvery = 15 * time.Minute

// inventory is what a configuration names, for metrics.
func inventory(cfg *configs.Config) metrics.Inventory {
	var i metrics.Inventory
	for _, w := range cfg.Workflows {
		names := make([]string, len(w.Jobs))
		for n, job := range w.Jobs {
			names[n] = job.Name
		}
		i.Workflows = append(i.Workflows, metrics.Workflow{
			Name: w.Name, Jobs: names, Scheduled: !w.Schedule.IsZero(), Runbook: w.Trigger != nil,
			Next: func(after time.Time) time.Time {
				next, _ := w.Schedule.Next(after)
				return next
			},
		})
	}
	for _, c := range cfg.Checks {
		i.Checks = append(i.Checks, c.Name)
	}
	for _, c := range cfg.Channels {
		if c.Settings.Disabled {
			continue
		}
		i.Channels = append(i.Channels, c.Name)
	}
	return i
}

// metered is the ledger as those parts of the engine see it whose doings are
// counted.
type metered struct {
	*ledger.Ledger

	set *metrics.Set
}

var (
	_ ticker.Ledger = metered{}
	_ web.Facts     = metered{}
)

// Decide counts the slots at which nothing runs.
func (m metered) Decide(ctx context.Context, decided ...runner.Decided) ([]runner.Submission, error) {
	made, err := m.Ledger.Decide(ctx, decided...)
	if err != nil {
		return made, err
	}
	n := 0
	for _, d := range decided {
		for _, r := range d.Requests {
			if n < len(made) && made[n].State == runner.Skipped && !made[n].Duplicate {
				m.set.Skipped(r.Spec.Workflow, made[n].Reason, r.Slots)
			}
			n++
		}
	}
	return made, nil
}

// Observe shows what was measured elsewhere.
func (m metered) Observe(ctx context.Context, samples ...runner.Sample) error {
	err := m.Ledger.Observe(ctx, samples...)
	if err == nil {
		m.set.Sampled(samples...)
	}
	return err
}

// Record counts what happened to the system.
func (m metered) Record(ctx context.Context, happenings ...runner.Happening) error {
	err := m.Ledger.Record(ctx, happenings...)
	if err == nil {
		for _, h := range happenings {
			m.set.Happened(h)
		}
	}
	return err
}

// meter returns the ledger of a service for the parts whose doings are counted.
func (d *Daemon) meter() metered { return metered{Ledger: d.ledger, set: d.o.Metrics} }

// recorded is where facts go; a process that is no service counts none.
func (e *Engine) recorded() web.Facts {
	if e.o.Metrics == nil {
		return e.ledger
	}
	return metered{Ledger: e.ledger, set: e.o.Metrics}
}

// outbox is the outbox of the ledger, with what becomes of notices counted.
func (e *Engine) outbox() runner.Outbox {
	if e.o.Metrics == nil {
		return e.ledger
	}
	return e.o.Metrics.Outbox(e.ledger)
}

// measured takes over the configuration in force.
func (d *Daemon) measured(cfg *configs.Config) {
	list, err := d.watched(d.hard, cfg)
	if err != nil {
		list = instances(cfg, nil) // until it is known which other nodes there are
	}
	d.exposeChecks(cfg, list)
	d.o.Metrics.Loaded(time.Now(), true)
}

// exposeChecks says whose metrics there are: of checks, of those that this node
// asks.
func (d *Daemon) exposeChecks(cfg *configs.Config, list []health.Check) {
	i := inventory(cfg)
	i.Checks = nil
	for _, c := range list {
		if c.Node == "" {
			i.Checks = append(i.Checks, c.Name)
		}
	}
	d.o.Metrics.Configure(i)
}

// exposed answers with the metrics; nil when this process is no service.
func (e *Engine) exposed() (http.Handler, web.Meter) {
	if e.o.Metrics == nil {
		return nil, nil
	}
	return e.o.Metrics.Handler(), e.o.Metrics
}

// measuring keeps the metrics that follow from the ledger and the calendar.
type measuring struct {
	d *Daemon
	// filled are the workflows whose past was looked at.
	filled map[string]bool
	// figured is when the operational figures were computed.
	figured time.Time
}

// look shows how things are. What the ledger knows of the past of a workflow is
// read once, when the workflow is first seen.
func (m *measuring) look(ctx context.Context) error {
	cfg := m.d.Config()
	set := m.d.o.Metrics
	for _, w := range cfg.Workflows {
		set.Due(w.Name)
	}
	for _, r := range m.d.monitor.Reports(ctx) {
		if r.Node != "" {
			continue // that node tells it
		}
		set.Stands(r.Name, r.Health)
	}
	return errors.Join(m.fill(ctx, cfg), set.Refresh(ctx, m.d.ledger), m.remedies(ctx), m.figures(ctx, cfg))
}

// figures shows the operational figures.
func (m *measuring) figures(ctx context.Context, cfg *configs.Config) error {
	now := time.Now()
	if now.Sub(m.figured) < figureEvery {
		return nil
	}
	list, err := reports.Measure(ctx, SourceOf(m.d.ledger.Reader), cfg.KPIs, now)
	if err != nil {
		return fmt.Errorf("compute the operational figures for the metrics: %w", err)
	}
	m.figured = now
	shown := make([]metrics.Figure, len(list))
	for i, f := range list {
		shown[i] = metrics.Figure{
			Name: f.Name, Value: f.Value, Target: f.Aim.Target, Known: f.Known,
			Judged: f.Verdict == reports.Met || f.Verdict == reports.Missed, Met: f.Verdict == reports.Met,
		}
	}
	m.d.o.Metrics.Figures(shown...)
	return nil
}

// fill reads the past of workflows that were not looked at yet.
func (m *measuring) fill(ctx context.Context, cfg *configs.Config) error {
	var names []string
	for _, w := range cfg.Workflows {
		if !m.filled[w.Name] {
			names = append(names, w.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	set := m.d.o.Metrics
	latest, err := m.d.ledger.Latest(ctx, names)
	if err != nil {
		return fmt.Errorf("read the latest runs for the metrics: %w", err)
	}
	for _, run := range latest {
		set.FillRun(run)
	}
	succeeded, err := m.d.ledger.Successes(ctx, names)
	if err != nil {
		return fmt.Errorf("read the latest successes for the metrics: %w", err)
	}
	for name, at := range succeeded {
		set.FillSuccess(name, at)
	}
	if err := m.fillJobs(ctx, cfg); err != nil {
		return err
	}
	for _, name := range names {
		m.filled[name] = true
	}
	return nil
}

// telling are the kinds whose latest attempts have something to show: the sizes
// of backups and the accuracy of models.
func telling(kind string) bool {
	return slices.Contains([]string{"archive", "pgbackup", "script", "sqlitebackup"}, kind)
}

// fillJobs reads the latest attempts of jobs that were not looked at yet, of all
// of them together.
func (m *measuring) fillJobs(ctx context.Context, cfg *configs.Config) error {
	var names []ledger.JobName
	for _, w := range cfg.Workflows {
		if m.filled[w.Name] {
			continue
		}
		for _, job := range w.Jobs {
			if telling(job.Kind) {
				names = append(names, ledger.JobName{Workflow: w.Name, Job: job.Name})
			}
		}
	}
	newest, err := m.d.ledger.Newest(ctx, names)
	if err != nil {
		return fmt.Errorf("read the latest attempts for the metrics: %w", err)
	}
	for name, a := range newest {
		m.d.o.Metrics.FillAttempt(name.Workflow, a)
	}
	return nil
}

// remedies counts what came of runbooks, where the ledger knows of any.
func (m *measuring) remedies(ctx context.Context) error {
	known, ok := any(m.d.ledger).(runner.Remedies)
	if !ok {
		return nil
	}
	list, err := known.Remedies(ctx, runner.RemedyFilter{Since: m.d.began.Add(-time.Hour)})
	if err != nil {
		return fmt.Errorf("read the remedies for the metrics: %w", err)
	}
	for _, r := range list {
		if r.DecidedAt.After(m.d.began) {
			m.d.o.Metrics.Remedied(r)
		}
	}
	return nil
}

// writeTextfile writes the metrics into a file as often as the configuration in
// force wants it, until ctx ends.
func (d *Daemon) writeTextfile(ctx context.Context) {
	const look = time.Second
	tick := time.NewTicker(look)
	defer tick.Stop()
	var written time.Time
	failed := false
	for {
		ended := false
		select {
		case <-ctx.Done():
			ended = true
		case <-tick.C:
		}
		m := d.Config().Metrics
		if m.Textfile != "" && (ended || time.Since(written) >= m.Every) {
			written = time.Now()
			switch err := d.o.Metrics.WriteFile(m.Textfile); {
			case err != nil && !failed:
				d.o.Log.WarnContext(ctx, "the file of the metrics is not written", "error", err)
				failed = true
			case err == nil && failed:
				d.o.Log.InfoContext(ctx, "the file of the metrics is written again", "file", m.Textfile)
				failed = false
			}
		}
		if ended {
			return
		}
	}
}
