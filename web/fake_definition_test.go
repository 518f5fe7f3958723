package web_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// definitions is what the configuration of fake says in full.
type definitions struct{ f *fake }

func (d definitions) Definition(workflow string) (api.WorkflowDetail, error) {
	if workflow != "daily" {
		return api.WorkflowDetail{}, api.NewProblem(api.CodeNotFound, "", "there is no such workflow")
	}
	return api.WorkflowDetail{Definition: "jobs: {}\n", Graph: d.Graph(context.Background(), runner.Spec{Workflow: workflow}, nil), Overlap: runner.OverlapSkip, Params: []api.WorkflowParam{{Name: "tag", Type: "string"}}}, nil
}

func (definitions) Graph(_ context.Context, spec runner.Spec, _ map[string]string) []api.JobNode {
	if spec.Workflow != "daily" {
		return nil
	}
	return []api.JobNode{
		{Name: "backup", Kind: "sqlitebackup", When: "success", OnCrash: "restart"},
		{Name: "prune", Kind: "prune", Needs: []string{"backup"}, When: "success", OnCrash: "restart"},
	}
}

func (d definitions) Text(ctx context.Context) api.ConfigText {
	return api.ConfigText{ConfigStatus: d.f.Status(ctx).Config, Project: "shop", Text: "project: shop\n"}
}

// shelf is what the stores of fake hold.
type shelf struct{ f *fake }

func (s shelf) Inventory(context.Context) (web.Inventory, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	out := web.Inventory{Backups: make([]api.Backup, len(s.f.backups))}
	for i, b := range s.f.backups {
		b.Reasons = []string{"daily"}
		out.Backups[i] = b
	}
	if len(s.f.backups) > 0 {
		out.Stores = []api.StoreState{{Name: "local", Kind: "local", AsOf: new(day(5)), Damaged: []string{}}}
		out.Retentions = []api.RetentionState{{Workflow: "daily", Job: "backup", Store: "local", Active: true, Keep: 1}}
	}
	return out, s.f.fail
}

func (s shelf) Artifact(ctx context.Context, id string) (api.BackupDetail, error) {
	known, err := s.Inventory(ctx)
	if err != nil {
		return api.BackupDetail{}, err
	}
	at := slices.IndexFunc(known.Backups, func(b api.Backup) bool { return b.ID == id })
	if at < 0 {
		return api.BackupDetail{}, fmt.Errorf("artifact: %w", runner.ErrNotFound)
	}
	return api.BackupDetail{Backup: known.Backups[at], Streams: []api.BackupStream{{Name: "app.db", Compression: "zstd"}}, Restore: []api.RestoreCommand{{Title: "t", Command: "upkeep backup restore"}}}, nil
}
