package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
	"github.com/ghosteam/upkeep/jobs/internal/systemd"
)

// record is what a later process of upkeep needs to go on with the work.
type record struct {
	// Before are the versions before the first change.
	Before map[string]string `json:"before"`
	// Changes is the plan.
	Changes []change `json:"changes"`
	// Auto are those of them that were there because others need them.
	Auto []string `json:"auto,omitempty"`
}

const recordFile = "plan.json"

// installing carries out a plan.
type installing struct {
	upgrade *upgrade
	env     *jobs.Env
	system  system
	said    *transcript
	record  record
}

func newInstalling(env *jobs.Env, u *upgrade, s system) (*installing, error) {
	said, err := openTranscript(env)
	if err != nil {
		return nil, err
	}
	return &installing{upgrade: u, env: env, system: s, said: said}, nil
}

func (i *installing) close(err error) error { return errors.Join(err, i.said.close()) }

func (i *installing) save() error {
	text, err := json.Marshal(i.record)
	if err != nil {
		return fmt.Errorf("describe the plan: %w", err)
	}
	path := filepath.Join(i.env.WorkDir, recordFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	return nil
}

// planned does work that outlives upkeep: also when upkeep ends in the middle
// of it, the next upkeep must look at what became of it before it ends what was
// left at work.
func (i *installing) planned(ctx context.Context, what string, do func() error) error {
	if err := i.env.PlanRestart(ctx, what); err != nil {
		return fmt.Errorf("put on record that packages are installed: %w", err)
	}
	return do()
}

// all installs what is not installed yet: one package after the other with
// what it needs, and in the end together what cannot go one by one.
func (i *installing) all(ctx context.Context) error {
	named := slices.DeleteFunc(slices.Clone(i.record.Changes), func(c change) bool { return c.Old == "" })
	for n, c := range named {
		i.env.Progress(int64(n), int64(len(named)), "packages")
		if err := i.one(ctx, c); err != nil {
			return err
		}
	}
	installed, _, err := i.system.State(ctx)
	if err != nil {
		return err
	}
	if left := without(named, installed); len(left) > 0 {
		if err := i.together(ctx, left); err != nil {
			return err
		}
	}
	i.env.Progress(int64(len(named)), int64(len(named)), "packages")
	return i.remark(ctx)
}

// together installs what cannot go one by one.
func (i *installing) together(ctx context.Context, left []change) error {
	p, err := i.system.Preview(ctx, left)
	if err != nil {
		return err
	}
	if !p.within(i.record.Changes) {
		return &jobs.RefusedError{Rail: "plan", Why: "what is left of it would change other packages by now: " + list(names(left))}
	}
	return i.env.Effect(ctx, "upgrade together "+list(names(left)), func(ctx context.Context) error { return i.install(ctx, stepInstall, left) })
}

// remark marks again what was there because others need it: apt-get takes
// whatever it is told by name for wanted.
func (i *installing) remark(ctx context.Context) error {
	h, err := i.system.Host(ctx, nil)
	if err != nil {
		return err
	}
	var lost []change
	for _, name := range i.record.Auto {
		if !slices.Contains(h.Auto, name) {
			lost = append(lost, change{Name: name})
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return i.env.Effect(ctx, "mark as installed for others: "+list(names(lost)), func(ctx context.Context) error {
		return i.upgrade.runStep(ctx, i.env, i.system, stepMark, lost)
	})
}

// one installs a package when that changes nothing beyond the plan.
func (i *installing) one(ctx context.Context, c change) error {
	installed, _, err := i.system.State(ctx)
	if err != nil || installed[c.Name] == c.New {
		return err
	}
	step := []change{c}
	p, err := i.system.Preview(ctx, step)
	if _, ended := errors.AsType[*child.ExitError](err); err != nil && !ended {
		return err
	}
	if err != nil || !p.within(i.record.Changes) || len(p.Changes) == 0 {
		return nil // it goes together with others, or not at all
	}
	return i.env.Effect(ctx, c.deed(), func(ctx context.Context) error { return i.install(ctx, stepInstall, step) })
}

// install runs the installer. It is not ended with ctx: half a package is
// worse than a late end.
func (i *installing) install(ctx context.Context, s step, changes []change) error {
	cmd := i.system.Command(s, changes)
	argv, err := systemd.Outliving(cmd.Argv)
	if err != nil {
		return err
	}
	cmd.Argv, cmd.Survives = argv, true
	cmd.Stdout, cmd.Stderr = i.said.file, i.said.file
	stop := i.said.follow()
	defer stop()
	return whileLocked(ctx, i.env, i.upgrade.options.LockWait, func() error {
		from, err := i.said.size()
		if err != nil {
			return err
		}
		late, cancel := delayed(ctx, i.upgrade.options.FinishWithin)
		_, err = child.Run(late, cmd)
		cancel()
		text, unread := i.said.since(from)
		return errors.Join(i.system.Explain(err, text), unread)
	})
}

// runStep does what can be ended at any time.
func (u *upgrade) runStep(ctx context.Context, env *jobs.Env, s system, what step, changes []change) error {
	return whileLocked(ctx, env, u.options.LockWait, func() error {
		words := &limited{limit: mostSaid}
		cmd := s.Command(what, changes)
		cmd.Stdout, cmd.Stderr = words, words
		_, err := child.Run(ctx, cmd)
		_, _ = env.Out.Write(words.buf.Bytes()) // Out never fails
		return s.Explain(err, words.buf.String())
	})
}

// delayed is a context that ends when ctx has been over for a time.
func delayed(ctx context.Context, after unit.Duration) (late context.Context, cancel func()) {
	late, end := context.WithCancelCause(context.WithoutCancel(ctx))
	timers := make(chan *time.Timer, 1)
	detach := context.AfterFunc(ctx, func() {
		timers <- time.AfterFunc(after.Std(), func() { end(context.Cause(ctx)) })
	})
	return late, func() {
		if !detach() {
			(<-timers).Stop()
		}
		end(nil)
	}
}

// whileLocked repeats do while it fails because another process holds a lock,
// until the wait is over.
func whileLocked(ctx context.Context, env *jobs.Env, wait unit.Duration, do func() error) error {
	begun := time.Now()
	for told := false; ; told = true {
		err := do()
		said, ok := errors.AsType[*saidError](err)
		if !ok || !said.locked || time.Since(begun) >= wait.Std() {
			return err
		}
		if !told {
			env.Printf("another process installs packages; waiting for at most %s", wait)
		}
		next := time.NewTimer(lockPause)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return fmt.Errorf("wait for another process that installs packages: %w", context.Cause(ctx))
		}
	}
}

// ownLast puts the package that upkeep came in at the end, since it may restart
// upkeep.
func ownLast(changes []change, own string) []change {
	out := slices.Clone(changes)
	slices.SortStableFunc(out, func(a, b change) int {
		switch {
		case a.Name == own && b.Name != own:
			return 1
		case b.Name == own && a.Name != own:
			return -1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

func names(changes []change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, c.Name)
	}
	return out
}
