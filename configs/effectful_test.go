package configs_test

import (
	"context"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
)

type sendOptions struct {
	Send bool `yaml:"send" doc:"Whether to change something."`
}

// sender is a probe that changes something with one of its options.
type sender struct{ sends bool }

func (s *sender) Run(context.Context, *jobs.Env) (jobs.Result, error) {
	return jobs.Result{Summary: "done"}, nil
}

func (s *sender) Effectful() error {
	if s.sends {
		return jobs.Fieldf("send", "a check may not send")
	}
	return nil
}

// TestCheck_ChangesNothing: a kind of probe that changes something with some of
// its options is a check without them, and a job with them.
func TestCheck_ChangesNothing(t *testing.T) {
	t.Parallel()
	catalog := testCatalog(nil)
	catalog.Kinds = jobs.NewRegistry(append(catalog.Kinds.All(), jobs.Define("mail", "Sends or looks.", sendOptions{}, func(o sendOptions, _ jobs.Deps) (jobs.Job, error) {
		return &sender{sends: o.Send}, nil
	}).AsProbe())...)
	const text = "project: p\nchecks:\n  mail: {kind: mail, every: 1m, with: {send: CHECK}}\nworkflows:\n  w: {jobs: {mail: {kind: mail, with: {send: true}}}}\n"
	if _, err := configs.Load(write(t, strings.Replace(text, "CHECK", "false", 1)), catalog); err != nil {
		t.Errorf("without effects: %v", err)
	}
	_, err := configs.Load(write(t, strings.Replace(text, "CHECK", "true", 1)), catalog)
	if err == nil || !strings.Contains(err.Error(), "a check may not send") {
		t.Errorf("with effects: error %v", err)
	}
}
