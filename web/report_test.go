package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// reporter writes one line.
type reporter struct{}

func (reporter) Report(_ context.Context, window time.Duration, html bool, w io.Writer) error {
	if window == time.Hour {
		return api.NewProblem(api.CodeUnavailable, "try again soon", "other reports are being written")
	}
	_, err := fmt.Fprintf(w, "over %s, html %t", window, html)
	return err
}

// runbooks knows one.
type runbooks struct{}

func mend() api.Runbook {
	rate := 0.5
	return api.Runbook{
		Name: "mend", Trigger: "file: critical for 1s", Mode: "approve", Limits: api.RunbookLimits{Max: 3, PerSeconds: 86400}, Score: api.RunbookScore{Runs: 2, Fixed: 1, NotFixed: 1, FixRate: &rate},
	}
}

func (runbooks) Runbooks(context.Context) ([]api.Runbook, error) {
	return []api.Runbook{mend()}, nil
}

func (runbooks) Runbook(_ context.Context, name string) (api.RunbookStory, error) {
	if name != "mend" {
		return api.RunbookStory{}, api.NewProblem(api.CodeNotFound, "`upkeep runbook list` shows the runbooks", "there is no such runbook")
	}
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	return api.RunbookStory{Runbook: mend(), Remedies: []api.Remedy{{Run: "019ab004", BegunAt: at, Outcome: "fixed", DecidedAt: &at}}}, nil
}

func (runbooks) Plan(_ context.Context, name string) (api.RunbookPlan, error) {
	return api.RunbookPlan{
		Name: name, Mode: "auto", Jobs: []api.PlannedJob{{Job: "one", Kind: "script", Needs: []string{}}}, Locks: []string{"database/main"}, Max: 3, PerSeconds: 60,
		Refusals: []api.RunbookRefusal{{Rule: "paused", Text: "it is paused"}},
	}, nil
}

// databases explain on main.
type databases struct{}

func (databases) Explain(_ context.Context, name string, r api.ExplainRequest) (api.StatementPlan, error) {
	switch {
	case name != "main":
		return api.StatementPlan{}, api.NewProblem(api.CodeNotFound, "", "there is no such database")
	case r.Diff != "":
		return api.StatementPlan{Plan: json.RawMessage(`{"sql":"SELECT 1"}`), Difference: json.RawMessage(`{"same":true}`)}, nil
	}
	return api.StatementPlan{Plan: json.RawMessage(`{"sql":"SELECT 1"}`), Difference: json.RawMessage("null")}, nil
}

func TestReport(t *testing.T) {
	t.Parallel()
	c := start(t, newFake()).client
	for _, want := range []struct {
		window time.Duration
		html   bool
		says   string
	}{
		{0, false, "over 168h0m0s, html false"},
		{36 * time.Hour, true, "over 36h0m0s, html true"},
	} {
		if got, err := c.Report(t.Context(), want.window, want.html); err != nil || string(got) != want.says {
			t.Errorf("%v: %q, %v", want.window, got, err)
		}
	}
	if _, err := c.Report(t.Context(), time.Hour, false); err == nil || !strings.Contains(err.Error(), "other reports") {
		t.Errorf("%v", err)
	}
	handler := web.New(newFake().options()).Handler()
	for target, contentType := range map[string]string{"/api/v1/report?form=html": "text/html; charset=utf-8", "/api/v1/report": "text/markdown; charset=utf-8"} {
		if status, header, _ := ask(t, handler, http.MethodGet, target, ""); status != http.StatusOK || header.Get("Content-Type") != contentType {
			t.Errorf("%s: %d, %s", target, status, header.Get("Content-Type"))
		}
	}
	for _, target := range []string{"/api/v1/report?window=1m", "/api/v1/report?form=pdf"} {
		if status, _, _ := ask(t, handler, http.MethodGet, target, ""); status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", target, status)
		}
	}
}

func TestRunbooks(t *testing.T) {
	t.Parallel()
	c := start(t, newFake()).client
	list, err := c.Runbooks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]api.Runbook{mend()}, list); diff != "" {
		t.Error(diff)
	}
	want, err := runbooks{}.Runbook(t.Context(), "mend")
	if err != nil {
		t.Fatal(err)
	}
	story, err := c.Runbook(t.Context(), "mend")
	if diff := cmp.Diff(want, story); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := c.Runbook(t.Context(), "other"); err == nil {
		t.Error("no error")
	}
	plan, err := c.RunbookPlan(t.Context(), "mend")
	if err != nil || len(plan.Refusals) != 1 || plan.PerSeconds != 60 || plan.Locks[0] != "database/main" {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	c := start(t, newFake()).client
	plan, err := c.Explain(t.Context(), "main", api.ExplainRequest{SQL: "SELECT 1", Seconds: 1, Diff: "before"})
	if err != nil || string(plan.Plan) != `{"sql":"SELECT 1"}` || string(plan.Difference) != `{"same":true}` {
		t.Errorf("%s, %s, %v", plan.Plan, plan.Difference, err)
	}
	_, err = c.Explain(t.Context(), "other", api.ExplainRequest{SQL: "SELECT 1"})
	if problem, _ := errors.AsType[*api.Problem](err); problem == nil || problem.Code != api.CodeNotFound {
		t.Errorf("%v", err)
	}
}
