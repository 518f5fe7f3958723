package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// checkFolder is where probes have their folders, below the state.
const checkFolder = "checks"

// watcher makes the monitor of the checks.
func (d *Daemon) watcher() (*health.Monitor, error) {
	cfg := d.Config()
	env, err := probeEnv(cfg, d.o.Version)
	if err != nil {
		return nil, err
	}
	checks, err := d.watched(d.hard, cfg)
	if err != nil {
		return nil, err
	}
	return health.New(health.Options{
		Checks: checks, Shared: shared(cfg), Differ: d.differ, Prober: prober{d.Config}, Incidents: d.ledger, Known: d.ledger, Samples: d.ledger, Past: d.ledger,
		Fault: func(r runner.CheckReport, evidence ...runner.Evidence) runner.Fault {
			return d.Config().Alarm().Unhealthy(r, evidence...)
		},
		Observers: d.checkObservers(), Connectivity: d.connectivity(cfg), Env: env, Log: d.o.Log.With("logger", "health"),
	}), nil
}

// differ tells whether nodes that are there go by another configuration.
func (d *Daemon) differ(ctx context.Context) bool {
	return d.shared() && d.othersDiffer(ctx, d.Config().SharedDigest())
}

// checkObservers are told of every answer of a check.
func (d *Daemon) checkObservers() []runner.CheckObserver {
	return []runner.CheckObserver{d.o.Metrics, d.runbooks, &checkBell{ring: d.hub.Changed, said: map[string]string{}}}
}

// connectivity says how to look at the network of this machine; nil for not at
// all.
func (d *Daemon) connectivity(cfg *configs.Config) *health.Connectivity {
	if len(cfg.Connectivity.TCP) == 0 {
		return nil
	}
	return &health.Connectivity{
		TCP: cfg.Connectivity.TCP, Timeout: cfg.Connectivity.Timeout,
		Fault: func(title string, severity jobs.Severity, at time.Time) runner.Fault {
			const reason = alerts.ReasonNetwork
			return d.own(runner.Fault{
				Fingerprint: health.FingerprintConnectivity, Severity: severity, Reason: reason, Title: title, At: at,
				Channels: d.Config().Alarm().Channels(severity, "", reason),
			})
		},
	}
}

// probeEnv is the world of probes. What a process before left in their folder
// is removed.
func probeEnv(cfg *configs.Config, version string) (jobs.Env, error) {
	dir := filepath.Join(StateDir(cfg), checkFolder)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return jobs.Env{}, fmt.Errorf("make the folder of probes: %w", err)
	}
	return jobs.Env{Node: cfg.Node, Version: version, Zone: cfg.Timezone, Root: cfg.Root, WorkDir: dir, KillGrace: cfg.KillGrace}, nil
}

// prober makes the probes of a configuration.
type prober struct{ config func() *configs.Config }

// Open implements health.Prober.
func (p prober) Open(name string) (jobs.Job, []string, error) {
	check, secrets, err := p.config().OpenCheck(runner.CheckBase(name))
	return check.Probe, secrets, err
}

// checks is the monitor as the API asks it.
type checks struct {
	monitor *health.Monitor
	config  func() *configs.Config
	seen    *glanced
}

var _ web.Monitor = checks{}

// Checks implements web.Monitor.
func (c checks) Checks(ctx context.Context, fresh bool, names ...string) ([]api.Check, error) {
	if fresh {
		if err := c.monitor.Fresh(ctx, c.instances(ctx, names)...); err != nil {
			return nil, notThere(err)
		}
	}
	if err := c.look(ctx); err != nil {
		return nil, err
	}
	reports := c.monitor.Reports(ctx)
	list := make([]api.Check, 0, len(reports))
	for _, r := range reports {
		if len(names) == 0 || isOneOf(names, r.Name) {
			worst, _ := c.monitor.WorstDetection(r.Name)
			list = append(list, setUp(c.config(), api.NewCheck(r, worst)))
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(reports, func(r runner.CheckReport) bool { return isOneOf([]string{name}, r.Name) }) {
			return nil, notThere(&health.UnknownError{What: "check", Name: name})
		}
	}
	return list, nil
}

// setUp adds to a check how it is configured.
func setUp(cfg *configs.Config, v api.Check) api.Check {
	at := slices.IndexFunc(cfg.Checks, func(c configs.Check) bool { return c.Name == runner.CheckBase(v.Name) })
	if at < 0 {
		return v
	}
	c := cfg.Checks[at]
	v.CheckSetup = api.CheckSetup{
		RetrySeconds: c.RetryEvery.Seconds(), TimeoutSeconds: c.Timeout.Seconds(), FailAfter: c.FailAfter, OKAfter: c.OKAfter,
		DependsOn: instancesBeside(cfg, v.Name, c.DependsOn), Slug: c.Slug, GraceSeconds: c.Grace.Seconds(),
	}
	if c.Public {
		v.Slug = "" // it is a secret: whoever knows it may tell the heartbeat
	}
	for _, l := range c.Limits {
		v.Limits = append(v.Limits, api.Limit(l))
	}
	return v.Filled()
}

// instancesBeside are the names of the checks that one depends on: of those that
// every node asks, that of the same node.
func instancesBeside(cfg *configs.Config, check string, names []string) []string {
	_, node, ofNode := strings.Cut(check, "@")
	list := slices.Clone(names)
	for i, name := range list {
		if ofNode && slices.ContainsFunc(cfg.Checks, func(c configs.Check) bool { return c.Name == name && c.EveryNode }) {
			list[i] = runner.CheckOn(name, node)
		}
	}
	return list
}

// Ping implements web.Monitor.
func (c checks) Ping(ctx context.Context, slug string, p api.PingRequest) error {
	return notThere(c.monitor.Ping(ctx, slug, health.Ping(p)))
}

// Public implements web.Monitor.
func (c checks) Public(slug string) bool {
	return slices.ContainsFunc(c.config().Checks, func(one configs.Check) bool { return one.Public && one.Slug == slug })
}

// notThere makes a problem of the name of nothing.
func notThere(err error) error {
	if is[*health.UnknownError](err) {
		return api.NewProblem(api.CodeNotFound, "`checks:` in the configuration names them", err.Error())
	}
	return err
}
