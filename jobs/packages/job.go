package packages

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
)

// upgrade is the job.
type upgrade struct {
	options Options
	backup  jobs.History
	now     func() time.Time
}

var (
	_ jobs.Checker   = (*upgrade)(nil)
	_ jobs.Exclusive = (*upgrade)(nil)
	_ jobs.Survivor  = (*upgrade)(nil)
)

// LockKeys keeps two upgrades apart.
func (u *upgrade) LockKeys() []string { return []string{"host/packages"} }

// Check makes sure of the programs and of the right to install.
func (u *upgrade) Check(ctx context.Context, env *jobs.Env) error {
	for _, program := range []string{"apt-get", "apt-config", "apt-mark", "dpkg", "dpkg-query"} {
		if _, err := child.LookPath(program, environ(env, u.options), "/"); err != nil {
			return jobs.WithHint(fmt.Errorf("find %s: %w", program, err), "this kind needs a host with apt, such as Debian or Ubuntu")
		}
	}
	if u.options.Config != "" {
		if _, err := os.Stat(string(u.options.Config)); err != nil {
			return jobs.WithHint(fmt.Errorf("settings of apt: %w", err), "correct `config:`")
		}
	}
	s, err := newApt(ctx, env, u.options)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		return nil
	}
	// Who may write dpkg's files may install: a folder of one's own counts.
	if err := writable(s.admin()); err != nil {
		return jobs.WithHint(fmt.Errorf("install packages: %w", err), "run upkeep as root: see package-updates.conf in /usr/share/doc/upkeep/dropins")
	}
	return nil
}

// Run upgrades or shows what it would upgrade.
func (u *upgrade) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("upgrade packages: %w", err)
	}
	s, err := newApt(ctx, env, u.options)
	if err != nil {
		return jobs.Result{}, err
	}
	if err := u.backedUp(ctx); err != nil {
		return jobs.Result{}, err
	}
	if err := u.sound(ctx, env, s); err != nil {
		return jobs.Result{}, err
	}
	var findings []jobs.Finding
	if f, err := u.refresh(ctx, env, s); err != nil {
		return jobs.Result{}, err
	} else if f != nil {
		findings = append(findings, *f)
	}
	p, h, err := u.plan(ctx, s)
	if err != nil {
		return jobs.Result{}, err
	}
	p.describe(env, h)
	result, err := u.apply(ctx, env, s, p, h)
	result.Findings = append(findings, result.Findings...)
	return result, err
}

// sound refuses a package system in which an installation ended half way, or
// repairs it.
func (u *upgrade) sound(ctx context.Context, env *jobs.Env, s system) error {
	_, broken, err := s.State(ctx)
	if err != nil || len(broken) == 0 {
		return err
	}
	refusal := jobs.WithHint(&jobs.RefusedError{
		Rail: "audit", Why: fmt.Sprintf("an earlier installation is half done: %s; nothing was installed", list(broken)),
	}, "look at it (dpkg --audit) and finish it: dpkg --configure -a")
	if !u.options.Repair || env.DemandedPlan() != "" {
		return refusal
	}
	err = env.Effect(ctx, "finish an earlier installation (dpkg --configure -a)", func(ctx context.Context) error {
		i, err := newInstalling(env, u, s)
		if err != nil {
			return err
		}
		return i.close(i.planned(ctx, "finish an installation", func() error { return i.install(ctx, stepRepair, nil) }))
	})
	if err != nil || env.DryRun() {
		return err
	}
	if _, broken, err = s.State(ctx); err == nil && len(broken) > 0 {
		err = refusal
	}
	return err
}

// refresh brings the lists up to date. Under a demanded plan they stay as they
// were when it was made.
func (u *upgrade) refresh(ctx context.Context, env *jobs.Env, s system) (*jobs.Finding, error) {
	if u.options.Update == updateNever || env.DemandedPlan() != "" {
		return nil, nil //nolint:nilnil // no finding is no error
	}
	err := env.Effect(ctx, "fetch the package lists", s.Refresh)
	if err == nil {
		return nil, nil //nolint:nilnil // no finding is no error
	}
	if ctx.Err() != nil || u.options.Update == updateStrict {
		return nil, jobs.WithHint(err, "see whether the repositories can be reached: apt-get update")
	}
	return &jobs.Finding{ID: "lists", Severity: jobs.Warning, Text: env.OneLine(err.Error()) + "; the lists of before were used"}, nil
}

// plan decides what to install.
func (u *upgrade) plan(ctx context.Context, s system) (*plan, host, error) {
	all, err := s.Preview(ctx, nil)
	if err != nil {
		return nil, host{}, err
	}
	chosen, leftOut := u.choose(all)
	p := &plan{LeftOut: leftOut}
	switch {
	case u.options.Full && len(all.Removed) > 0:
		p.preview = all
	case len(chosen) > 0:
		if p.preview, err = s.Preview(ctx, chosen); err != nil {
			return nil, host{}, err
		}
	}
	p.KeptBack, p.Withheld = all.KeptBack, all.Withheld
	for _, c := range p.Changes {
		if u.secure(c) {
			p.Security++
		}
	}
	h, err := s.Host(ctx, p.Changes)
	return p, h, err
}

// describe shows the plan.
func (p *plan) describe(env *jobs.Env, h host) {
	for _, c := range p.Changes {
		env.Printf("change     %s  %s", c, joined(c.Origins))
	}
	for _, c := range p.LeftOut {
		env.Printf("left out   %s  %s", c, joined(c.Origins))
	}
	for _, name := range p.KeptBack {
		env.Printf("kept back  %s", name)
	}
	for _, name := range h.Held {
		env.Printf("held       %s", name)
	}
	for _, name := range p.Removed {
		env.Printf("would remove %s", name)
	}
	env.Printf("%s to change, %s to download", count(len(p.Changes)), humanize.IBytes(uint64(h.DownloadBytes)))
}

// apply carries the plan out, or shows that it would.
func (u *upgrade) apply(ctx context.Context, env *jobs.Env, s system, p *plan, h host) (jobs.Result, error) {
	result := p.result(h)
	result.Findings = append(result.Findings, u.withheld(h, p)...)
	result.Outputs = map[string]string{jobs.OutputPlan: p.name()}
	if err := env.Plan(p.name()); err != nil {
		return result, err
	}
	refusal := u.rails(h, p)
	if env.DryRun() {
		for _, c := range p.Changes {
			if err := env.Effect(ctx, c.deed(), nil); err != nil {
				return result, err
			}
		}
		result.Summary = "would upgrade " + count(len(p.Changes)) + p.others()
		return result, refusal
	}
	if refusal != nil {
		return result, refusal
	}
	delete(result.Outputs, jobs.OutputPlan)
	if len(p.Changes) == 0 {
		result.Summary = "no package to upgrade" + p.others()
		return result, nil
	}
	if h.DownloadBytes > 0 {
		err := env.Effect(ctx, "download "+humanize.IBytes(uint64(h.DownloadBytes))+" of packages", func(ctx context.Context) error {
			return u.runStep(ctx, env, s, stepDownload, p.Changes)
		})
		if err != nil {
			return result, fmt.Errorf("download the packages: %w", err)
		}
	}
	i, err := newInstalling(env, u, s)
	if err != nil {
		return result, err
	}
	i.record = record{Changes: ownLast(p.Changes, h.Own)}
	for _, c := range p.Changes {
		if slices.Contains(h.Auto, c.Name) {
			i.record.Auto = append(i.record.Auto, c.Name)
		}
	}
	if i.record.Before, _, err = s.State(ctx); err != nil {
		return result, i.close(err)
	}
	if err := i.save(); err != nil {
		return result, i.close(err)
	}
	err = i.planned(ctx, "install "+count(len(p.Changes)), func() error { return i.all(ctx) })
	result, err = i.conclude(ctx, result, p.others(), err)
	return result, i.close(err)
}

func writable(folder string) error {
	probe, err := os.OpenFile(filepath.Join(folder, "status"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err //nolint:wrapcheck // the caller says what for
	}
	return probe.Close()
}
