package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// settlePause is the time between two looks at what is still at work.
const settlePause = 200 * time.Millisecond

// Judge implements jobs.Survivor: upkeep ended while packages were installed, by
// its own upgrade or by accident. The installer lives on; when it has ended, the
// rest of the plan is carried out.
func (u *upgrade) Judge(ctx context.Context, env *jobs.Env, since time.Time) (jobs.Result, error) {
	if err := u.settle(ctx, env); err != nil {
		return jobs.Result{}, err
	}
	s, err := newApt(ctx, env, u.options)
	if err != nil {
		return jobs.Result{}, err
	}
	i, err := newInstalling(env, u, s)
	if err != nil {
		return jobs.Result{}, err
	}
	if err := i.load(); err != nil {
		return jobs.Result{}, i.close(err)
	}
	i.said.copy()
	whole := &plan{preview: preview{Changes: i.record.Changes}}
	if env.DemandedPlan() != "" {
		if err := env.Plan(whole.name()); err != nil {
			return jobs.Result{}, i.close(err)
		}
	}
	env.Printf("upkeep ended while packages were installed, in an attempt that began at %s; going on", since.UTC().Format(time.RFC3339))
	result := whole.result(host{})
	for _, c := range i.record.Changes {
		if u.secure(c) {
			result.Values["security"]++
		}
	}
	_, broken, err := s.State(ctx)
	switch {
	case err != nil:
	case len(broken) > 0 && u.options.Repair:
		err = env.Effect(ctx, "finish the installation (dpkg --configure -a)", func(ctx context.Context) error { return i.install(ctx, stepRepair, nil) })
	case len(broken) > 0:
		err = jobs.WithHint(fmt.Errorf("the installation was cut short: %s", list(broken)), "look at it (dpkg --audit) and finish it: dpkg --configure -a")
	}
	if err == nil {
		err = i.all(ctx)
	}
	result, err = i.conclude(ctx, result, "", err)
	return result, i.close(err)
}

// settle waits until nothing that an earlier process of upkeep started is at
// work.
func (u *upgrade) settle(ctx context.Context, env *jobs.Env) error {
	within := time.NewTimer(u.options.FinishWithin.Std())
	defer within.Stop()
	for {
		left, err := jobs.CountLeftovers(env.RunID, env.Job)
		if err != nil || left == 0 {
			return err
		}
		next := time.NewTimer(settlePause)
		select {
		case <-next.C:
		case <-within.C:
			next.Stop()
			return jobs.WithHint(fmt.Errorf("%d processes of the installation were still at work %s after upkeep was restarted", left, u.options.FinishWithin),
				"look at what they wait for; give them more time with `finish_within`")
		case <-ctx.Done():
			next.Stop()
			return fmt.Errorf("wait for the installation that is under way: %w", context.Cause(ctx))
		}
	}
}

// load reads what the earlier process planned.
func (i *installing) load() error {
	text, err := os.ReadFile(filepath.Join(i.env.WorkDir, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return jobs.WithHint(errors.New("upkeep ended while packages were installed, and nothing tells what was planned"),
			"look at /var/log/apt/history.log, then retry the run: it goes on with what is left")
	}
	if err == nil {
		err = json.Unmarshal(text, &i.record)
	}
	if err != nil {
		return fmt.Errorf("read what was planned: %w", err)
	}
	return nil
}
