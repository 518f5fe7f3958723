package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs"
)

func newList(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the workflows with their schedules and last runs",
		Args:  args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.listWorkflows(cmd.Context()) },
	}
	a.outputFlag(cmd)
	return cmd
}

// workflowView is the JSON form of a configured workflow.
type workflowView struct {
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	Schedule    string     `json:"schedule"`
	Next        *time.Time `json:"next"`
	Jobs        []string   `json:"jobs"`
	Last        *runView   `json:"last"`
}

func (a *app) listWorkflows(ctx context.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	reader, err := a.openReader(ctx)
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
	p := a.painter(a.std.Out)
	l := listing{
		columns: []string{"WORKFLOW", "SCHEDULE", "NEXT", "LAST", "STATE", "JOBS"},
		empty:   "no workflows are configured; `upkeep init` writes an example",
	}
	views := []workflowView{}
	now := time.Now()
	for _, w := range cfg.Workflows {
		v := viewWorkflow(w, now)
		lastAt, state := "-", "-"
		if run, ok := latest[w.Name]; ok {
			last := viewRun(run, nil)
			v.Last = &last
			lastAt, state = stamp(run.QueuedAt), p.state(run.State)
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

func viewWorkflow(w *configs.Workflow, now time.Time) workflowView {
	v := workflowView{Name: w.Name, Description: w.Description, Schedule: "on request", Jobs: jobNames(w)}
	if next, ok := w.Schedule.Next(now); ok {
		v.Schedule = w.Schedule.Describe()
		next = next.UTC()
		v.Next = &next
	}
	return v
}
