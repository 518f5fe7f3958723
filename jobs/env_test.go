package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
)

func TestEnv_Effect(t *testing.T) {
	t.Parallel()
	failed, stop := errors.New("no space"), errors.New("stop")
	dead, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	tests := []struct {
		name   string
		ctx    context.Context
		dryRun bool
		err    error // of the effect
		want   error
		output string
		trace  []string
	}{
		{name: "done", ctx: t.Context(), trace: []string{"before delete x", "do", "after delete x: <nil>"}},
		{name: "failed", ctx: t.Context(), err: failed, want: failed, trace: []string{"before delete x", "do", "after delete x: no space"}},
		{name: "dry run", ctx: t.Context(), dryRun: true, output: "would delete x\n"},
		{name: "dead context", ctx: dead, want: stop},
		{name: "dead context in a dry run", ctx: dead, dryRun: true, want: stop},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			var trace []string
			env := jobs.NewEnv(jobs.Env{Out: &out}, jobs.Hooks{
				DryRun:   tt.dryRun,
				Effect:   func(what string) { trace = append(trace, "before "+what) },
				Effected: func(what string, err error) { trace = append(trace, "after "+what+": "+errText(err)) },
			})
			err := env.Effect(tt.ctx, "delete x", func(context.Context) error {
				trace = append(trace, "do")
				return tt.err
			})
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if diff := cmp.Diff(tt.trace, trace); diff != "" {
				t.Errorf("trace (-want +got):\n%s", diff)
			}
			if out.String() != tt.output {
				t.Errorf("output %q, want %q", out.String(), tt.output)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return "<nil>"
	}
	return err.Error()
}

func TestEnv_Allowed(t *testing.T) {
	t.Parallel()
	why := errors.New("not ours any more")
	did, told := false, false
	hooks := jobs.Hooks{Allowed: func() error { return why }, Effect: func(string) { told = true }}
	err := jobs.NewEnv(jobs.Env{}, hooks).Effect(t.Context(), "do it", func(context.Context) error { did = true; return nil })
	if did || told || !errors.Is(err, why) {
		t.Errorf("done %t, told %t, %v", did, told, err)
	}
	hooks.DryRun = true
	if err := jobs.NewEnv(jobs.Env{}, hooks).Effect(t.Context(), "do it", nil); err != nil {
		t.Errorf("in a dry run: %v", err)
	}
}

func TestEnv_WithoutHooks(t *testing.T) {
	t.Parallel()
	env := jobs.NewEnv(jobs.Env{}, jobs.Hooks{})
	env.Printf("nobody listens")
	env.Log.Info("nobody listens")
	env.Progress(1, 2, "files")
	did := false
	err := env.Effect(t.Context(), "do it", func(context.Context) error { did = true; return nil })
	if err != nil || !did || env.DryRun() || env.Scrub("text") != "text" {
		t.Errorf("an Env without hooks does not work: %v, %v", err, did)
	}
}

func TestEnv_OneLineScrubsBeforeItCuts(t *testing.T) {
	t.Parallel()
	const secret = "hunter2 of the\nsecond line"
	env := jobs.NewEnv(jobs.Env{}, jobs.Hooks{Scrub: func(text string) string { return strings.ReplaceAll(text, secret, "<redacted>") }})
	got := env.OneLine(strings.Repeat("x", 290) + " " + secret)
	if strings.Contains(got, "hunter2") || strings.Contains(got, "hunter") {
		t.Errorf("a part of the secret is left: %q", got)
	}
}

func TestEnv_Environ(t *testing.T) {
	t.Setenv("HOME", "/home/anna")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "stays behind")
	t.Setenv("PATH", "")
	env := jobs.NewEnv(jobs.Env{
		RunID: "r1", Workflow: "daily", Job: "model", Attempt: 3, Trigger: "manual",
		Slot: time.Date(2026, 3, 1, 3, 30, 0, 0, time.FixedZone("CET", 3600)),
	}, jobs.Hooks{})
	got := env.Environ()
	for _, want := range []string{
		"HOME=/home/anna", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SHELL=/bin/sh", "UPKEEP_RUN_ID=r1",
		"UPKEEP_WORKFLOW=daily", "UPKEEP_JOB=model", "UPKEEP_ATTEMPT=3", "UPKEEP_TRIGGER=manual", "UPKEEP_SLOT=2026-03-01T02:30:00Z",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing from %q", want, got)
		}
	}
	if strings.Contains(strings.Join(got, "\n"), "stays behind") {
		t.Error("a secret of upkeep's own environment is handed on")
	}
	if diff := cmp.Diff([]string{"UPKEEP_RUN_ID=r1", "UPKEEP_JOB=model", "UPKEEP_ATTEMPT=3"}, env.Marks()); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if marks := jobs.NewEnv(jobs.Env{}, jobs.Hooks{}).Marks(); marks != nil {
		t.Errorf("marks without a run: %q", marks)
	}
}
