package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// note is what the next process of upkeep needs to end the job.
type note struct {
	Unit string `json:"unit"`
	// Invocation is that of before the restart.
	Invocation string `json:"invocation"`
	PID        uint64 `json:"pid"`
	// Result is what was done before.
	Result jobs.Result `json:"result"`
}

const noteFile = "restart.json"

// restartOwn restarts the unit in which this very process runs.
func (s *service) restartOwn(ctx context.Context, env *jobs.Env, c control, u target, result *jobs.Result) error {
	s.keepEvidence(ctx, env, u)
	return env.Effect(ctx, "restart "+u.name+", and upkeep with it", func(ctx context.Context) error {
		text, err := json.Marshal(note{Unit: u.name, Invocation: u.before.Invocation, PID: u.before.PID, Result: *result})
		if err != nil {
			return fmt.Errorf("describe the restart: %w", err)
		}
		if err := os.WriteFile(filepath.Join(env.WorkDir, noteFile), text, 0o600); err != nil {
			return fmt.Errorf("note the restart: %w", err)
		}
		if err := env.PlanRestart(ctx, "restart "+u.name); err != nil {
			return fmt.Errorf("plan the restart: %w", err)
		}
		if err := c.Post(ctx, verbRestart, u.name); err != nil {
			return err
		}
		within := time.NewTimer(s.options.Takes.Std())
		defer within.Stop()
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the restart of %s: %w", u.name, context.Cause(ctx))
		case <-within.C:
		}
		return jobs.WithHint(fmt.Errorf("%s was not restarted within %s", u.name, s.options.Takes), "see systemctl status "+u.name)
	})
}

// Judge implements jobs.Survivor: it makes sure that the unit was restarted, and
// is well.
func (s *service) Judge(ctx context.Context, env *jobs.Env, _ time.Time) (jobs.Result, error) {
	var n note
	text, err := os.ReadFile(filepath.Join(env.WorkDir, noteFile))
	if err == nil {
		err = json.Unmarshal(text, &n)
	}
	if err != nil {
		return jobs.Result{}, jobs.WithHint(fmt.Errorf("read what was restarted: %w", err), "look at the unit, then retry the run")
	}
	result := n.Result
	if result.Values == nil {
		result.Values = map[string]float64{}
	}
	c, err := s.connect(ctx, env)
	if err != nil {
		return result, err
	}
	defer c.Close()
	now, err := c.State(ctx, n.Unit)
	if err != nil {
		return result, err
	}
	if now.Invocation == n.Invocation && now.PID == n.PID {
		return result, jobs.WithHint(fmt.Errorf("upkeep ended, but %s was not restarted: it is %s", n.Unit, now), "see systemctl status "+n.Unit)
	}
	if err := s.await(ctx, env, c, n.Unit); err != nil {
		return result, err
	}
	result.Events = append(result.Events, jobs.Event{Kind: eventKind, Subject: n.Unit, Text: fmt.Sprintf("restarted: %s", now)})
	result.Values["done"]++
	result.Summary = s.summary(false)
	return result, nil
}

// planName identifies what would be done, with the facts that it rests upon.
func (s *service) planName(units []target) string {
	facts := []string{string(s.verb)}
	for _, u := range units {
		facts = append(facts, u.name, u.before.ID, u.before.Active, u.before.Invocation)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", facts))
	return string(s.verb) + "-" + hex.EncodeToString(sum[:12])
}
