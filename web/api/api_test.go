package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// TestCodes shows that each code has its status and exit code, and that a
// problem finds back to its code.
func TestCodes(t *testing.T) {
	t.Parallel()
	seen := map[api.Code]bool{}
	for _, c := range api.Codes() {
		if seen[c] || c.Status() < 400 || c.Exit() == 0 || http.StatusText(c.Status()) == "" {
			t.Errorf("%s: status %d, exit %d", c, c.Status(), c.Exit())
		}
		seen[c] = true
		p := api.ProblemOf(fmt.Errorf("outer: %w", api.NewProblem(c, "do this", "what")))
		if p.Code != c || p.Status != c.Status() || p.ExitCode != c.Exit() || p.Hint() != "do this" || p.Detail != "what" || p.Title == "" {
			t.Errorf("%s: %+v", c, p)
		}
		if (c.Status() >= 500) != (c == api.CodeInternal || c == api.CodeUnavailable || c == api.CodeNoSpace) {
			t.Errorf("%s has status %d", c, c.Status())
		}
	}
}

func TestProblemOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  error
		code api.Code
	}{
		"not found":       {runner.ErrNotFound, api.CodeNotFound},
		"not claimable":   {runner.ErrNotClaimable, api.CodeNotClaimable},
		"unavailable":     {runner.ErrUnavailable, api.CodeUnavailable},
		"no space":        {runner.ErrNoSpace, api.CodeNoSpace},
		"shutdown":        {runner.ErrShutdown, api.CodeUnavailable},
		"deadline":        {context.DeadlineExceeded, api.CodeUnavailable},
		"ambiguous":       {&runner.AmbiguousError{Prefix: "a"}, api.CodeAmbiguous},
		"refused":         {&jobs.RefusedError{Rail: "x", Why: "y"}, api.CodeRefused},
		"refused, hinted": {jobs.WithHint(&jobs.RefusedError{Rail: "x", Why: "y"}, "z"), api.CodeRefused},
		"anything":        {errors.New("x"), api.CodeInternal},
	}
	for name, test := range tests {
		p := api.ProblemOf(fmt.Errorf("outer: %w", test.err))
		if p.Code != test.code || p.Hint() != jobs.HintOf(test.err) && jobs.HintOf(test.err) != "" {
			t.Errorf("%s: %+v", name, p)
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back api.Problem
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(*p, back); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if strings.Contains(name, "refused") {
			if refused, ok := errors.AsType[*jobs.RefusedError](error(&back)); !ok || !strings.Contains(refused.Error(), "y") {
				t.Errorf("%s: %v", name, &back)
			}
		}
	}
}

// TestEvents shows that every event survives the way through JSON.
func TestEvents(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 2, 30, 0, 0, time.UTC)
	key := runner.AttemptKey{Run: "r", Job: "j", Number: 2}
	run := runner.Run{ID: "r", State: runner.Running, Epoch: 2, QueuedAt: at}
	attempt := runner.Attempt{Run: "r", Job: "j", Number: 2, State: runner.Failed, ExitCode: 3, StartedAt: at, Result: jobs.Result{Findings: []jobs.Finding{{ID: "f", Severity: jobs.Warning, Text: "t"}}}}
	events := []runner.Event{
		runner.RunStarted{Run: run, Jobs: []runner.JobName{{Name: "j", Kind: "script"}}, Done: []runner.Attempt{attempt}},
		runner.AttemptStarted{Attempt: attempt},
		runner.AttemptProgress{Key: key, Done: 1, Total: 2, Unit: "B", At: at},
		runner.AttemptWaiting{Key: key, Until: at, Error: "e"},
		runner.AttemptWaiting{Key: key, Holder: &runner.LockHolder{Lock: "l", Run: "o", Workflow: "w", Job: "k", Owner: "i", Node: "n", AcquiredAt: at}},
		runner.AttemptEnded{Attempt: attempt, Findings: attempt.Result.Findings},
		runner.RunNoted{Run: "r", Text: "n", At: at},
		runner.RunEnded{Run: run},
	}
	for _, want := range events {
		v, ok := api.NewEvent(want)
		if !ok {
			t.Errorf("%T has no JSON", want)
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var back api.Event
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		got, ok := back.Runner()
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%T: %s", want, diff)
		}
	}
	for _, v := range []api.Event{{}, {Kind: api.EventSnapshot}, {Kind: api.EventShutdown}, {Kind: api.EventRunStarted}, {Kind: "later"}} {
		if got, ok := v.Runner(); ok {
			t.Errorf("%+v became %+v", v, got)
		}
	}
}

// TestNoNulls shows that empty lists and objects are never null.
func TestNoNulls(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		api.NewRunRecord(runner.Run{}, nil, false), api.NewRunWithAttempts(runner.Run{}, nil, false), api.NewAttemptRecord(runner.Attempt{}),
		api.NewIncident(runner.Incident{}), api.Status{}.Filled(), api.Node{}.Filled(), api.Reload{}.Filled(),
		api.Plan{Slots: []api.PlannedSlot{{}}}.Filled(), api.Why{Slots: []api.Explained{{}}}.Filled(),
	} {
		checkFilled(t, reflect.TypeOf(v).Name(), reflect.ValueOf(v))
	}
}

// checkFilled looks for nil slices and maps in every exported field.
func checkFilled(t *testing.T, where string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				checkFilled(t, where+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			t.Errorf("%s is null", where)
		}
		for i := range v.Len() {
			checkFilled(t, where, v.Index(i))
		}
	case reflect.Map:
		if v.IsNil() {
			t.Errorf("%s is null", where)
		}
	}
}

// TestNewRun shows the rules of docs/json.md that are more than copying.
func TestNewRun(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 2, 30, 0, 0, time.FixedZone("", 3600))
	attempts := []runner.Attempt{
		{Job: "a", Number: 1, State: runner.Failed, ExitCode: 2, StartedAt: at, FinishedAt: at.Add(time.Second)},
		{Job: "a", Number: 2, State: runner.Succeeded, ExitCode: -1, StartedAt: at, FinishedAt: at.Add(1500 * time.Millisecond)},
		{Job: "b", State: runner.Skipped, ExitCode: -1, StartedAt: at, FinishedAt: at},
	}
	v := api.NewRunWithAttempts(runner.Run{Request: runner.Request{Slot: at}, QueuedAt: at, StartedAt: at}, attempts, true)
	if a, b := v.Jobs["a"], v.Jobs["b"]; a.Attempts != 2 || a.State != runner.Succeeded || a.DurationSeconds != 1.5 || b.Attempts != 0 {
		t.Errorf("jobs: %+v", v.Jobs)
	}
	if !v.Interrupted || v.FinishedAt != nil || v.DurationSeconds != 0 || v.Slot.Location() != time.UTC || v.StartedAt.Location() != time.UTC {
		t.Errorf("run: %+v", v.Run)
	}
	if a := v.Attempts; *a[0].ExitCode != 2 || a[1].ExitCode != nil || a[2].StartedAt != nil || a[0].StartedAt == nil {
		t.Errorf("attempts: %+v", v.Attempts)
	}
}

// TestNewestPerJob takes the last attempt of each job and keeps the order in
// which the jobs began.
func TestNewestPerJob(t *testing.T) {
	t.Parallel()
	type attempt struct {
		Job    string
		Number int
	}
	list := []attempt{{"dump", 1}, {"copy", 1}, {"dump", 2}, {"report", 1}, {"copy", 2}, {"copy", 3}}
	want := []attempt{{"dump", 2}, {"copy", 3}, {"report", 1}}
	if diff := cmp.Diff(want, api.NewestPerJob(list, func(a attempt) string { return a.Job })); diff != "" {
		t.Errorf("newest (-want +got):\n%s", diff)
	}
}
