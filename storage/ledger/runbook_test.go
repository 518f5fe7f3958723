package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

func TestRemedies(t *testing.T) {
	t.Parallel()
	for name, dsn := range dialects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledgertest.Open(t, dsn(t), nil)
			base := time.Date(2026, 11, 23, 12, 0, 0, 123000, time.UTC)
			var remedies []runner.Remedy // the newest first
			for i, workflow := range []string{"a", "b", "a"} {
				list, err := l.Submit(t.Context(), runner.Request{
					Spec: runner.Spec{Workflow: workflow, Text: "jobs: {}"}, Slot: base.Add(time.Duration(i) * time.Second), Trigger: runner.ByCheck, By: "check api: api is critical",
				})
				if err != nil {
					t.Fatal(err)
				}
				r := runner.Remedy{
					Run: list[0].Run, Workflow: workflow, Check: "api", Health: runner.HealthCritical, Report: "api is critical", Failing: []string{"api", "database"},
					Since: base, BegunAt: base.Add(time.Duration(i) * time.Minute),
				}
				if err := l.PutRemedy(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				remedies = append([]runner.Remedy{r}, remedies...)
			}
			decided := remedies[0]
			decided.Outcome, decided.Why, decided.DecidedAt, decided.RelapsedAt, decided.Disabled = runner.OutcomeNotFixed, "it is not", base.Add(time.Hour), base.Add(2*time.Hour), true
			for range 2 {
				if err := l.PutRemedy(t.Context(), decided); err != nil {
					t.Fatal(err)
				}
			}
			remedies[0] = decided
			for what, test := range map[string]struct {
				filter runner.RemedyFilter
				want   []runner.Remedy
			}{
				"all":         {runner.RemedyFilter{}, remedies},
				"the newest":  {runner.RemedyFilter{Limit: 1}, remedies[:1]},
				"of one":      {runner.RemedyFilter{Workflow: "a"}, []runner.Remedy{remedies[0], remedies[2]}},
				"since":       {runner.RemedyFilter{Since: base.Add(time.Minute)}, remedies[:2]},
				"of nobody":   {runner.RemedyFilter{Workflow: "c"}, nil},
				"unthinkable": {runner.RemedyFilter{Workflow: "\x00"}, nil},
			} {
				got, err := l.Remedies(t.Context(), test.filter)
				if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
					t.Errorf("%s: %v\n%s", what, err, diff)
				}
			}
			stranger := decided
			stranger.Run = "0199aaaa-0000-7000-8000-000000000001"
			if err := l.PutRemedy(t.Context(), stranger); !errors.Is(err, runner.ErrNotFound) {
				t.Errorf("of a run that is not on record: %v", err)
			}
			for what, change := range map[string]func(*runner.Remedy){
				"no workflow":             func(r *runner.Remedy) { r.Workflow = "" },
				"unknown outcome":         func(r *runner.Remedy) { r.Outcome = "cured" },
				"an outcome without time": func(r *runner.Remedy) { r.DecidedAt = time.Time{} },
				"a time without outcome":  func(r *runner.Remedy) { r.Outcome = runner.OutcomeOpen },
				"no beginning":            func(r *runner.Remedy) { r.BegunAt = time.Time{} },
			} {
				wrong := decided
				change(&wrong)
				if err := l.PutRemedy(t.Context(), wrong); err == nil {
					t.Errorf("%s: accepted", what)
				}
			}
			if _, err := l.Remedies(t.Context(), runner.RemedyFilter{Limit: -1}); err == nil {
				t.Error("a negative limit is accepted")
			}
		})
	}
}

// What is on record of a run goes with it.
func TestRemedies_GoWithTheirRuns(t *testing.T) {
	t.Parallel()
	for name, dsn := range dialects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledgertest.Open(t, dsn(t), nil)
			for i := range 3 {
				list, err := l.Submit(t.Context(), runner.Request{
					Spec: runner.Spec{Workflow: "a", Text: "jobs: {}"}, Slot: time.Unix(int64(i), 0), Trigger: runner.ByCheck, State: runner.Skipped, Reason: runner.ReasonOverlap,
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := l.PutRemedy(t.Context(), runner.Remedy{Run: list[0].Run, Workflow: "a", Check: "api", BegunAt: time.Unix(int64(i), 0)}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := l.PruneRuns(t.Context(), runner.Retention{Now: time.Now().Add(time.Hour), Workflows: map[string]runner.History{"a": {Runs: 1}}}); err != nil {
				t.Fatal(err)
			}
			if list, err := l.Remedies(t.Context(), runner.RemedyFilter{}); err != nil || len(list) != 1 {
				t.Errorf("%d are left, %v", len(list), err)
			}
		})
	}
}

// What a runbook did stands in the story of the incident, once, also after its
// end.
func TestActed(t *testing.T) {
	t.Parallel()
	for name, dsn := range dialects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledgertest.Open(t, dsn(t), nil)
			if _, err := l.Raise(t.Context(), runner.Fault{Fingerprint: "check/api", Check: "api", Severity: jobs.Critical, Reason: "check", Title: "api is critical", At: time.Now()}); err != nil {
				t.Fatal(err)
			}
			list, err := l.Incidents(t.Context(), runner.IncidentFilter{Fingerprint: "check/api"})
			if err != nil || len(list) != 1 {
				t.Fatalf("%d incidents, %v", len(list), err)
			}
			for range 2 {
				if err := l.Acted(t.Context(), list[0].ID, "mend", "run 1 started"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := l.Clear(t.Context(), "check/api", time.Now()); err != nil {
				t.Fatal(err)
			}
			if err := l.Acted(t.Context(), list[0].ID, "mend", "fixed by run 1"); err != nil {
				t.Fatal(err)
			}
			entries, err := l.Timeline(t.Context(), list[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, e := range entries {
				if e.Kind == runner.EntryRunbook {
					told = append(told, e.By+": "+e.Text)
				}
			}
			if diff := cmp.Diff([]string{"mend: run 1 started", "mend: fixed by run 1"}, told); diff != "" {
				t.Error(diff)
			}
			if err := l.Acted(t.Context(), "0199aaaa-0000-7000-8000-000000000001", "mend", "x"); !errors.Is(err, runner.ErrNotFound) {
				t.Errorf("of an incident that is not on record: %v", err)
			}
		})
	}
}
