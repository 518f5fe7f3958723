package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/pgreview"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// statementWithin is how long a statement may take when nobody says.
	statementWithin = 30 * time.Second
	// longestPlanName bounds the names of plans that are kept.
	longestPlanName = 100
)

// ExplainStatement asks a database of the configuration how it means to run a statement,
// and with r.Diff what changed since a plan that was kept. No error has a
// secret.
func ExplainStatement(ctx context.Context, cfg *configs.Config, name string, r api.ExplainRequest) (pgreview.Plan, *pgreview.Difference, error) {
	var none pgreview.Plan
	kept, err := keptPlans(cfg, name, r.Save, r.Diff)
	if err != nil {
		return none, nil, err
	}
	within := statementWithin
	if r.Seconds > 0 {
		within = max(time.Duration(r.Seconds*float64(time.Second)), time.Millisecond)
	}
	database, secrets, err := cfg.OpenDatabase(name)
	scrub := custody.Scrubber(secrets)
	if unknown, ok := errors.AsType[*configs.UnknownError](err); ok {
		hint := jobs.HintOf(err)
		if hint == "" {
			hint = "name a database of the configuration, under databases:"
		}
		return none, nil, api.NewProblem(api.CodeNotFound, hint, unknown.Error())
	}
	if err != nil {
		return none, nil, scrub(err)
	}
	if database.Kind != "postgres" {
		return none, nil, api.NewProblem(api.CodeInvalid, "", fmt.Sprintf("%s is a database of kind %s, and only postgres explains", name, database.Kind))
	}
	var earlier *pgreview.Plan
	if r.Diff != "" {
		if earlier, err = readPlan(kept(r.Diff), r.Diff); err != nil {
			return none, nil, err
		}
	}
	plan, err := pgreview.Explain(ctx, database, pgreview.Question{SQL: r.SQL, Analyze: r.Analyze, Timeout: within})
	if err != nil {
		return none, nil, scrub(err)
	}
	if r.Save != "" {
		if err := writePlan(kept(r.Save), plan); err != nil {
			return none, nil, err
		}
	}
	if earlier == nil {
		return plan, nil, nil
	}
	changed := plan.Diff(*earlier)
	return plan, &changed, nil
}

// keptPlans returns where plans of a database are kept.
func keptPlans(cfg *configs.Config, database string, names ...string) (func(name string) string, error) {
	for _, name := range names {
		if name != "" && (!jobs.ValidName(name) || len(name) > longestPlanName) {
			return nil, api.NewProblem(api.CodeInvalid, "", fmt.Sprintf("%q cannot name a plan: use small letters, digits, '.', '_' and '-', at most %d", name, longestPlanName))
		}
	}
	folder := filepath.Join(StateDir(cfg), "plans", database)
	return func(name string) string { return filepath.Join(folder, name+".json") }, nil
}

// writePlan keeps a plan: whole or not at all, readable by its owner alone.
func writePlan(path string, plan pgreview.Plan) error {
	text, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	if err := renameio.WriteFile(path, append(text, '\n'), 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	return nil
}

// readPlan reads a plan that was kept.
func readPlan(path, name string) (*pgreview.Plan, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.NewProblem(api.CodeNotFound, "keep one with --save "+name, "no plan of this database is kept under the name "+name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the plan %s: %w", name, err)
	}
	var plan pgreview.Plan
	if err := json.Unmarshal(text, &plan); err != nil || plan.Root.Type == "" {
		return nil, jobs.WithHint(fmt.Errorf("%s does not hold a plan", path), "keep it anew with --save "+name)
	}
	return &plan, nil
}

// mostStatements is how many statements are explained at once for those who ask
// over the API.
const mostStatements = 2

// databases explains statements on the databases of the configuration in force.
type databases struct {
	e    *Engine
	turn chan struct{}
}

var _ web.Databases = databases{}

// Explain implements web.Databases.
func (d databases) Explain(ctx context.Context, name string, r api.ExplainRequest) (api.StatementPlan, error) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	default:
		return api.StatementPlan{}, api.NewProblem(api.CodeSkipped, "try again when they have ended", "other statements are being explained")
	}
	plan, changed, err := ExplainStatement(ctx, d.e.Config(), name, r)
	if err != nil {
		p := api.FailureOf(err)
		if p.Code == api.CodeUnavailable && ctx.Err() == nil {
			p = api.NewProblem(api.CodeFailed, jobs.HintOf(err), p.Detail) // it was the database that did not answer
		}
		return api.StatementPlan{}, p
	}
	return statementPlan(plan, changed)
}

// statementPlan is a plan for the API, which does not know its shape.
func statementPlan(plan pgreview.Plan, changed *pgreview.Difference) (api.StatementPlan, error) {
	var v api.StatementPlan
	var err error
	if v.Plan, err = json.Marshal(plan); err != nil {
		return v, fmt.Errorf("write the plan: %w", err)
	}
	v.Difference, err = json.Marshal(changed)
	return v, err
}
