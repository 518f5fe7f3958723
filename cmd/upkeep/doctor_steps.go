package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/health/doctor"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/pgping"
	"github.com/ghosteam/upkeep/jobs/pgreview"
	"github.com/ghosteam/upkeep/jobs/redisping"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
)

// examination is everything that the doctor looks at. What needs more of a
// configuration than there is is left out; the step config says so.
func (p *patient) examination(context.Context) doctor.Examination {
	e := doctor.Examination{Version: version, Config: p.path, Secrets: p.secrets}
	if host, err := os.Hostname(); err == nil {
		e.Host = host
	}
	e.Steps = []doctor.Step{
		p.host.Processes(), p.host.Memory(), p.host.Kills(), p.host.Disks(p.places()...), p.host.Load(), p.host.ClockStep(p.clocks()...),
		doctor.Configuration(p.lookAtConfig),
	}
	if p.cfg == nil {
		return e
	}
	e.Node, e.Project = p.cfg.Node, p.cfg.Project
	now := time.Now
	e.Steps = append(e.Steps, doctor.Service(p.lookAtDaemon), doctor.LedgerState(p.lookAtLedger))
	if p.cfg.Ledger.Dialect == "postgres" {
		e.Steps = append(e.Steps, doctor.Members(p.lookAtMembers, now))
	}
	if p.whole {
		checks, databases, servers := p.checks(), p.databases(), p.servers()
		e.Steps = append(e.Steps,
			doctor.Probes("checks", "every check", checks, p.secrets), doctor.Probes("databases", "database servers", databases, p.secrets),
			doctor.Sessions(servers, p.secrets), p.host.Units(p.units()), doctor.Probes("certificates", "certificates that jobs look after", p.certificates(), p.secrets),
			doctor.LastRuns(p.record, p.workflows(now()), now), doctor.Stores(p.shelves(), p.secrets),
		)
	}
	e.Steps = append(e.Steps, doctor.Owing(p.record, p.since, now), doctor.OpenIncidents(p.record, now), doctor.Changes(p.record, p.since, now), p.host.Log(p.logPlace))
	return e
}

// logPlace is where the service writes its log.
func (p *patient) logPlace(context.Context) (file, unit string) {
	return p.cfg.Log.File, p.daemon().Unit
}

// clocks are those of other machines that matter.
func (p *patient) clocks() []doctor.Reference {
	if p.cfg == nil || p.cfg.Ledger.Dialect != "postgres" {
		return nil
	}
	return []doctor.Reference{{Name: "the ledger", Ask: func(ctx context.Context) (time.Time, error) {
		reader, err := p.reader()
		if err != nil {
			return time.Time{}, err
		}
		if _, err := reader.Now(ctx); err != nil { // connects, which takes longer than asking
			return time.Time{}, err
		}
		return reader.Now(ctx)
	}}}
}

// lookAtDaemon looks at the process that runs the schedule.
func (p *patient) lookAtDaemon(ctx context.Context) (doctor.Daemon, error) {
	d := p.daemon()
	if reader, err := p.reader(); err == nil {
		runs, err := reader.Runs(ctx, runner.Filter{Triggers: []runner.Trigger{runner.BySchedule, runner.ByCatchUp}, Limit: 1})
		d.Served = err == nil && len(runs) > 0
	}
	return d, nil
}

// lookAtLedger looks at the ledger itself and what lies beside it.
func (p *patient) lookAtLedger(ctx context.Context) (doctor.Ledger, error) {
	l := doctor.Ledger{Dialect: p.cfg.Ledger.Dialect, Address: p.cfg.Ledger.Path}
	if l.Dialect == "sqlite" {
		l.BallastWanted = p.cfg.Ballast
		if info, err := os.Stat(filepath.Join(service.StateDir(p.cfg), ledger.BallastName)); err == nil {
			l.Ballast = info.Size()
		}
		if info, err := os.Stat(l.Address + "-wal"); err == nil {
			l.LogBytes = info.Size()
		}
		if space, err := p.host.Space(filepath.Dir(l.Address)); err == nil {
			l.Free = int64(min(space.Free, 1<<62))
		}
	}
	reader, err := p.reader()
	if errors.Is(err, ledger.ErrMissing) {
		l.Missing = true
		return l, nil
	}
	if err != nil {
		l.Error = explained(err)
		return l, nil
	}
	l.Address = reader.Address()
	found, err := reader.Inspect(ctx)
	if err != nil {
		l.Error = explained(err)
		return l, nil
	}
	l.Bytes, l.Damage, l.Checked = found.Bytes, found.Damage, true
	return l, nil
}

// lookAtMembers looks at the nodes that share the ledger.
func (p *patient) lookAtMembers(ctx context.Context) (doctor.Cluster, error) {
	reader, err := p.reader()
	if errors.Is(err, ledger.ErrMissing) {
		return doctor.Cluster{}, nil
	}
	if err != nil {
		return doctor.Cluster{}, err
	}
	members, err := service.MembersOf(ctx, reader)
	c := doctor.Cluster{Members: make([]doctor.Member, len(members)), Unserved: service.Unserved(p.cfg, members)}
	for i, m := range members {
		c.Members[i] = doctor.Member{Name: m.Name, Host: m.Host, Version: m.Version, Alive: m.State != api.MemberAbsent, LastSeen: m.LastSeen, Drift: m.Drift}
	}
	return c, err
}

// explained is an error with its hint.
func explained(err error) string {
	if hint := jobs.HintOf(err); hint != "" {
		return err.Error() + " (" + hint + ")"
	}
	return err.Error()
}

// env is the world of a probe that the doctor runs. Jobs that are no checks run
// dry.
func (p *patient) env(name string, check bool) func(out *bytes.Buffer, scrub func(string) string) *jobs.Env {
	return func(out *bytes.Buffer, scrub func(string) string) *jobs.Env {
		dir := ""
		if check {
			dir = filepath.Join(p.work, jobs.NameFrom(name))
			if err := os.Mkdir(dir, 0o700); err != nil {
				dir = "" // a probe that needs it says so
			}
		}
		return jobs.NewEnv(
			jobs.Env{
				RunID: "doctor-" + name, Workflow: "doctor", Job: name, Attempt: 1, Trigger: string(runner.ByManual), Slot: time.Now().UTC(),
				Node: p.cfg.Node, Version: version, Root: p.cfg.Root, WorkDir: dir, KillGrace: time.Second, Out: out,
			},
			jobs.Hooks{DryRun: !check, Scrub: scrub},
		)
	}
}

// checks are the configured checks.
func (p *patient) checks() []doctor.Probe {
	var out []doctor.Probe
	for _, c := range p.cfg.Checks {
		out = append(out, doctor.Probe{
			Name: c.Name, Kind: c.Kind, Impact: c.Impact, Within: c.Timeout, Env: p.env(c.Name, true), Next: "upkeep health --check " + c.Name + " --fresh",
			Open: func() (jobs.Job, []string, error) {
				if c.Kind == health.KindHeartbeat {
					return told{socket: service.SocketPath(p.cfg), check: c.Name}, nil, nil
				}
				check, secrets, err := p.cfg.OpenCheck(c.Name)
				return check.Probe, secrets, err
			},
		})
	}
	return out
}

// told asks the service about a heartbeat, which only it is told of.
type told struct{ socket, check string }

// Run implements jobs.Job.
func (t told) Run(ctx context.Context, _ *jobs.Env) (jobs.Result, error) {
	c := client.New(client.Options{Socket: t.socket, By: "cli", Within: holderPatience})
	defer c.Close()
	answer, err := c.Checks(ctx, false, t.check)
	if errors.Is(err, client.ErrNoDaemon) {
		return jobs.Result{
			Summary:  "nobody listens for it: no service runs",
			Findings: []jobs.Finding{{ID: "unheard", Severity: jobs.Warning, Text: "no service runs that could be told"}},
		}, nil
	}
	if err != nil {
		return jobs.Result{}, fmt.Errorf("ask the service about %s: %w", t.check, err)
	}
	r := jobs.Result{Summary: "the service does not know it"}
	for _, report := range answer.Checks {
		severity := map[runner.Health]jobs.Severity{runner.HealthCritical: jobs.Critical, runner.HealthWarning: jobs.Warning, runner.HealthUnknown: jobs.Warning}[report.Health]
		if r.Summary = report.Message; severity != "" {
			r.Findings = append(r.Findings, jobs.Finding{ID: "heartbeat", Severity: severity, Text: report.Message})
		}
	}
	return r, nil
}

// databases asks every database server how it is, with the limits that its kind
// has by default, whether a check does so or not.
func (p *patient) databases() []doctor.Probe {
	var out []doctor.Probe
	for _, d := range p.cfg.Databases {
		probe := doctor.Probe{Name: d.Name, Env: p.env(d.Name, false)}
		switch d.Kind {
		case jobs.Postgres:
			probe.Kind, probe.Open, probe.Next = "pgping", p.opened(d.Name, pgPing), "upkeep doctor --details"
			review := doctor.Probe{Name: d.Name + ".review", Kind: "pgreview", Impact: "none", Env: probe.Env, Open: p.opened(d.Name, pgReview), Next: "upkeep doctor --details"}
			out = append(out, probe, review)
		case jobs.Redis:
			probe.Kind, probe.Open, probe.Next = "redisping", p.opened(d.Name, redisPing), "upkeep doctor --details"
			out = append(out, probe)
		}
	}
	return out
}

// opened makes a job for a database.
func (p *patient) opened(name string, build func(jobs.Deps) (jobs.Job, error)) func() (jobs.Job, []string, error) {
	return func() (jobs.Job, []string, error) {
		d, secrets, err := p.cfg.OpenDatabase(name)
		if err != nil {
			return nil, secrets, err
		}
		job, err := build(oneDatabase{d})
		return job, secrets, err
	}
}

func pgPing(deps jobs.Deps) (jobs.Job, error) {
	return built(pgping.Kind(), deps, func(o *pgping.Options, name string) { o.Database = name })
}

func redisPing(deps jobs.Deps) (jobs.Job, error) {
	return built(redisping.Kind(), deps, func(o *redisping.Options, name string) { o.Database = name })
}

// pgReview asks the questions of a review that cost next to nothing.
func pgReview(deps jobs.Deps) (jobs.Job, error) {
	return built(pgreview.Kind(), deps, func(o *pgreview.Options, name string) {
		o.Database, o.Checks = name, []string{"wraparound", "archiver", "replication_slots", "connections", "transactions"}
	})
}

func built[O any](kind jobs.Kind, deps jobs.Deps, set func(o *O, name string)) (jobs.Job, error) {
	options, ok := kind.Options().(*O)
	if !ok {
		return nil, fmt.Errorf("the options of %s are of another type", kind.Name)
	}
	d, err := deps.Database("")
	if err != nil {
		return nil, err
	}
	set(options, d.Name)
	return kind.Build(options, deps)
}

// oneDatabase is a configuration that has one database, and no past.
type oneDatabase struct{ database jobs.Database }

// Store implements jobs.Deps.
func (oneDatabase) Store(string) (object.Store, error) { return nil, errors.ErrUnsupported }

// Database implements jobs.Deps.
func (o oneDatabase) Database(string) (jobs.Database, error) { return o.database, nil }

// Check implements jobs.Deps.
func (oneDatabase) Check(string) (jobs.Check, error) { return jobs.Check{}, errors.ErrUnsupported }

// Checks implements jobs.Deps.
func (oneDatabase) Checks() []string { return nil }

// History implements jobs.Deps.
func (oneDatabase) History(string, string) (jobs.History, error) { return noPast{}, nil }

// noPast is the history of what never ran.
type noPast struct{}

// Past implements jobs.History.
func (noPast) Past(context.Context, int) ([]jobs.Past, error) { return nil, nil }

// servers are the servers that tell their sessions.
func (p *patient) servers() []doctor.Server {
	var out []doctor.Server
	for _, d := range p.cfg.Databases {
		if d.Kind != jobs.Postgres {
			continue
		}
		out = append(out, doctor.Server{Name: d.Name, Ask: func(ctx context.Context) ([]doctor.Session, []string, error) {
			database, secrets, err := p.cfg.OpenDatabase(d.Name)
			if err != nil {
				return nil, secrets, err
			}
			sessions, err := pgreview.Sessions(ctx, database)
			list := make([]doctor.Session, len(sessions))
			for i, s := range sessions {
				list[i] = doctor.Session(s)
			}
			return list, secrets, err
		}})
	}
	return out
}

// workflows are those of the configuration.
func (p *patient) workflows(now time.Time) []doctor.Workflow {
	var out []doctor.Workflow
	for _, w := range p.cfg.Workflows {
		d := doctor.Workflow{Name: w.Name, FreshWithin: w.FreshWithin}
		d.Next, d.Scheduled = w.Schedule.Next(now)
		out = append(out, d)
	}
	return out
}

// shelves are the stores of the configuration.
func (p *patient) shelves() []doctor.Shelf {
	var out []doctor.Shelf
	for _, s := range p.cfg.Stores {
		out = append(out, doctor.Shelf{Name: s.Name, Kind: s.Kind, Open: func() (object.Store, []string, error) { return p.cfg.OpenStore(s.Name) }})
	}
	return out
}
