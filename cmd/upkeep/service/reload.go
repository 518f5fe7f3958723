package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

// reloads is how the configuration in force came to be.
type reloads struct {
	mu sync.Mutex
	// at is when it came into force.
	at time.Time
	// tried is when somebody last asked for a reload; zero for never.
	tried time.Time
	// failed is why the newest attempt to replace it did not succeed, since
	// when; nil when it is the newest.
	failed error
	since  time.Time
}

// degraded returns since when, and why, the configuration on disk is not in
// force.
func (r *reloads) degraded() (since time.Time, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.since, r.failed
}

// status is how the configuration in force came to be.
func (r *reloads) status(cfg *configs.Config) api.ConfigStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := api.ConfigStatus{Path: cfg.Path, Digest: cfg.Digest(), State: api.ConfigOK, LoadedAt: r.at, TriedAt: api.Instant(r.tried)}
	if r.failed != nil {
		s.State, s.Reason = api.ConfigDegraded, firstLine(r.failed)
	}
	return s
}

// errFixed says which settings only a restart changes.
type errFixed struct{ keys []string }

// Error names the settings.
func (e *errFixed) Error() string {
	return "these settings need a restart: " + strings.Join(e.keys, ", ")
}

// Reload reads the configuration anew. It comes into force whole, or the old
// one stays, the daemon is degraded, and an incident says so until a reload
// succeeds. Runs under way keep the plan that they began with.
func (d *Daemon) Reload(ctx context.Context, by string) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if d.gate.has(holdEnd) {
		return holdEnd.refusal()
	}
	reloaded := d.supervisor.reloading()
	defer reloaded()
	err := d.reload(ctx, by)
	d.hub.Changed(api.TopicConfig)
	if err == nil {
		return d.tellStatus(ctx)
	}
	d.reloads.fail(err)
	d.o.Metrics.Loaded(time.Now(), false)
	err = errors.Join(err, d.tellStatus(ctx))
	d.o.Log.ErrorContext(ctx, "the configuration could not be reloaded; the old one stays in force", "by", by, "error", strings.Join(problemLines(err), "; "))
	_, unrecorded := d.raiseOwn(ctx, d.Config().Alarm().ReloadFailed(firstLine(err), time.Now().UTC()))
	return errors.Join(err, unrecorded)
}

func (d *Daemon) reload(ctx context.Context, by string) error {
	old := d.Config()
	cfg, err := d.o.Load()
	if err != nil {
		return err
	}
	if fixed := fixedChanges(old, cfg); len(fixed) > 0 {
		return &errFixed{keys: fixed}
	}
	// The clock comes last: what it starts by the new schedules needs the rest
	// of the new configuration.
	d.config.Store(cfg)
	d.ledger.SetAlarm(cfg.Alarm())
	if err := d.ticker.Replace(ctx, calendars(cfg)); err != nil {
		d.config.Store(old)
		d.ledger.SetAlarm(old.Alarm())
		return fmt.Errorf("take over the schedules: %w", err)
	}
	d.reloads.succeed()
	d.measured(cfg)
	if d.o.Logbook != nil {
		d.o.Logbook.configure(cfg.Log)
	}
	// First, so that of nodes that reload at the same moment one sees that all
	// have.
	d.announceNow(ctx)
	if checks, err := d.watched(ctx, cfg); err != nil {
		d.o.Log.WarnContext(ctx, "the checks of the new configuration wait for the ledger", "error", err)
	} else {
		d.monitor.Replace(ctx, checks, d.connectivity(cfg))
	}
	d.server.front.configure(ctx, cfg.Web)
	d.announceNow(ctx)
	d.dispatcher.Wake()
	changes := cfg.Changes(old)
	d.o.Log.InfoContext(ctx, "the configuration is reloaded", "by", by, "changes", strings.Join(changes, "; "))
	if err := d.recorded().Record(ctx, runner.Happening{Kind: "reload", Subject: cfg.Path, Text: strings.Join(changes, "; "), By: by, At: time.Now().UTC()}); err != nil {
		d.o.Log.WarnContext(ctx, "record the reload", "error", err)
	}
	if _, err := d.ledger.Clear(ctx, d.ownFault(alerts.FingerprintReload), time.Now().UTC()); err != nil {
		d.o.Log.WarnContext(ctx, "resolve the incident of an earlier reload", "error", err)
	}
	d.forgetRemoved(ctx)
	return nil
}

// forgetRemoved resolves the incidents of workflows that are no longer
// configured: nothing else would, and one that comes back under the same name
// begins anew. While other nodes go by another configuration, that is left to
// the last of them that takes this one over.
func (d *Daemon) forgetRemoved(ctx context.Context) {
	cfg := d.Config()
	if d.differ(ctx) {
		return
	}
	open, err := d.ledger.Incidents(ctx, runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}, Limit: mostOpen})
	for _, i := range open {
		if i.Workflow == "" {
			continue
		}
		if _, unknown := cfg.Workflow(i.Workflow); unknown != nil {
			_, cleared := d.ledger.Clear(ctx, i.Fingerprint, time.Now().UTC())
			err = errors.Join(err, cleared)
		}
	}
	if err != nil {
		d.o.Log.WarnContext(ctx, "resolve the incidents of removed workflows", "error", err)
	}
}

// mostOpen is how many open incidents are looked at.
const mostOpen = 1000

func (r *reloads) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.since = time.Now().UTC()
	}
	r.failed, r.tried = err, time.Now().UTC()
}

func (r *reloads) succeed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = time.Now().UTC()
	r.failed, r.since, r.tried = nil, time.Time{}, r.at
}

// fixedChanges names the settings that differ and that a running daemon cannot
// take over.
func fixedChanges(old, cfg *configs.Config) []string {
	var keys []string
	for key, differs := range map[string]bool{
		"ledger":      old.Ledger.Dialect != cfg.Ledger.Dialect || old.Ledger.Path != cfg.Ledger.Path || old.Ledger.URL.Reveal() != cfg.Ledger.URL.Reveal(),
		"root":        old.Root != cfg.Root,
		"node":        old.Node != cfg.Node,
		"labels":      !slices.Equal(old.Labels, cfg.Labels),
		"project":     old.Project != cfg.Project,
		"timezone":    old.Timezone.String() != cfg.Timezone.String(),
		"max_running": old.MaxRunning != cfg.MaxRunning,
		"ballast":     old.Ballast != cfg.Ballast,
		"lease":       old.Lease != cfg.Lease,
		"log.format":  old.Log.Format != cfg.Log.Format,
		"log.keys":    old.Log.Keys != cfg.Log.Keys,
		"log.file":    old.Log.File != cfg.Log.File,
		"seed_names":  old.Metrics.SeedNames != cfg.Metrics.SeedNames,
	} {
		if differs {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// problemLines are the errors of a configuration, one line each.
func problemLines(err error) []string {
	problems, ok := errors.AsType[configs.Problems](err)
	if !ok {
		return []string{firstLine(err)}
	}
	wrong := problems.Errors()
	lines := make([]string, len(wrong))
	for i, p := range wrong {
		lines[i] = fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Message)
	}
	return lines
}

// othersDiffer tells whether a node that is there goes by another configuration
// than that of a digest, or may.
func (d *Daemon) othersDiffer(ctx context.Context, digest string) bool {
	nodes, err := d.ledger.Nodes(ctx)
	if err != nil {
		d.o.Log.WarnContext(ctx, "look whether other nodes go by this configuration", "error", err)
		return true
	}
	return slices.ContainsFunc(nodes, func(n ledger.Node) bool {
		return n.Member && n.Alive && n.Name != d.Config().Node && n.Facts.Config != "" && n.Facts.Config != digest
	})
}
