package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
)

func newList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the workflows with their schedules and last runs",
		Long: `List the configured workflows: when each is due next, and how its newest run went.
The next instant is in the time zone of the workflow.`,
		Example: "  upkeep list\n  upkeep list -o json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listWorkflows(cmd.Context()) },
	}
	a.outputFlag(cmd)
	return cmd
}

// workflowView is the JSON form of a configured workflow.
type workflowView struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Schedule    string     `json:"schedule"`
	Next        *time.Time `json:"next"`
	Jobs        []string   `json:"jobs"`
	Last        *lastView  `json:"last"`
}

// lastView is the JSON form of a workflow's newest run.
type lastView struct {
	ID              runner.RunID  `json:"id"`
	State           runner.State  `json:"state"`
	Reason          runner.Reason `json:"reason"`
	Interrupted     bool          `json:"interrupted"`
	QueuedAt        time.Time     `json:"queued_at"`
	StartedAt       *time.Time    `json:"started_at"`
	FinishedAt      *time.Time    `json:"finished_at"`
	DurationSeconds float64       `json:"duration_seconds"`
}

func (a *app) listWorkflows(ctx context.Context) error {
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer reader.Close()
	names := make([]string, len(cfg.Workflows))
	for i, w := range cfg.Workflows {
		names[i] = w.Name
	}
	latest, err := reader.Latest(ctx, names)
	if err != nil {
		return err
	}
	l := listing{
		columns: []string{"WORKFLOW", "SCHEDULE", "NEXT", "LAST", "STATE", "JOBS"},
		empty:   "no workflows are configured",
	}
	views := []workflowView{}
	now := time.Now()
	for _, w := range cfg.Workflows {
		v := viewWorkflow(w, now)
		lastAt, state := "-", "-"
		if run, ok := latest[w.Name]; ok {
			if v.Last, state, err = a.viewLast(ctx, reader, run); err != nil {
				return err
			}
			lastAt = stamp(run.QueuedAt)
		}
		next := "-"
		if v.Next != nil {
			next = v.Next.In(w.Zone).Format("2006-01-02 15:04:05 MST")
		}
		views = append(views, v)
		l.rows = append(l.rows, []string{w.Name, v.Schedule, next, lastAt, state, strconv.Itoa(len(w.Jobs))})
	}
	l.data = views
	return a.list(l)
}

// viewLast makes both forms of a workflow's newest run.
func (a *app) viewLast(ctx context.Context, reader history, run runner.Run) (*lastView, string, error) {
	orphaned, err := reader.orphaned(ctx, run)
	if err != nil {
		return nil, "", err
	}
	state := a.painter(a.std.Out).state(run.State)
	if orphaned {
		state += ", " + interrupted
	}
	return &lastView{
		ID: run.ID, State: run.State, Reason: run.Reason, Interrupted: orphaned, QueuedAt: run.QueuedAt,
		StartedAt: instant(run.StartedAt), FinishedAt: instant(run.FinishedAt), DurationSeconds: seconds(run.StartedAt, run.FinishedAt),
	}, state, nil
}

func viewWorkflow(w *configs.Workflow, now time.Time) workflowView {
	v := workflowView{Name: w.Name, Description: w.Description, Schedule: "on request", Jobs: jobNames(w)}
	if next, ok := w.Schedule.Next(now); ok {
		v.Schedule = w.Schedule.Describe()
		next = next.UTC()
		v.Next = &next
	}
	return v
}
