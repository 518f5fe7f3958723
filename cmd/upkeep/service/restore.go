package service

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
)

// Artifact implements web.Artifacts.
func (s *stock) Artifact(ctx context.Context, id string) (api.BackupDetail, error) {
	if err := s.wait(ctx); err != nil {
		return api.BackupDetail{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	cfg := s.e.Config()
	var detail api.BackupDetail
	var manifest *object.Manifest
	for _, c := range cfg.Stores {
		sh := s.shelves[c.Name]
		if sh == nil {
			continue
		}
		at := slices.IndexFunc(sh.artifacts, func(a custody.Artifact) bool { return a.Manifest.ID == id })
		if at < 0 {
			continue
		}
		manifest = &sh.artifacts[at].Manifest
		views := custody.Views(sh.artifacts, now)
		detail.Backup, detail.State = views[at], sh.state(c.Name)
		detail.Older, detail.Newer = neighbors(views, at)
	}
	if manifest == nil {
		return detail, api.NewProblem(api.CodeNotFound, "`upkeep backup list` shows the ids", "no store is known to hold such an artifact")
	}
	for _, stream := range manifest.Streams {
		v := api.BackupStream{
			Name: stream.Name, PlainBytes: stream.Plain.Bytes, SHA256: stream.Plain.SHA256, Compression: stream.Compression,
			Encrypted: len(stream.Recipients) > 0, Parts: len(stream.Parts),
		}
		for _, part := range stream.Parts {
			v.Bytes += part.Bytes
		}
		detail.Streams = append(detail.Streams, v)
	}
	for _, c := range cfg.Stores {
		sh := s.shelves[c.Name]
		if sh == nil {
			continue
		}
		for _, v := range custody.Views(sh.artifacts, now) {
			if v.Set == detail.Set && v.Set != "" && v.ID != id {
				detail.Copies = append(detail.Copies, v)
			}
		}
	}
	detail.Restore = RestoreCommands(cfg, detail.Backup)
	return detail, nil
}

// neighbors are the IDs of the artifacts before and after one of a list of the
// same job, kind and store.
func neighbors(views []api.Backup, at int) (older, newer string) {
	same := func(v api.Backup) bool {
		return v.Workflow == views[at].Workflow && v.Job == views[at].Job && v.Kind == views[at].Kind
	}
	for _, v := range views[at+1:] {
		if same(v) {
			older = v.ID
			break
		}
	}
	for _, v := range slices.Backward(views[:at]) {
		if same(v) {
			newer = v.ID
			break
		}
	}
	return older, newer
}

// RestoreCommands are the commands that restore an artifact, the safest first:
// each can be pasted into a shell on a machine that has the configuration.
// There are none for a kind that cannot restore.
func RestoreCommands(cfg *configs.Config, b api.Backup) []api.RestoreCommand {
	kind, ok := jobsall.Kinds().Lookup(b.Kind)
	restorer, can := kind.Artifacts.(jobs.Restorer)
	if !ok || !can {
		return nil
	}
	command := func(flags ...string) string {
		words := append([]string{"upkeep", "-c", cfg.Path, "backup", "restore", b.ID, "--store", b.Store}, flags...)
		if b.Encrypted {
			words = append(words, "--identity", "FILE")
		}
		for i, w := range words {
			words[i] = unit.ShellWord(w)
		}
		return strings.Join(words, " ")
	}
	if custody.IntoPath(restorer) {
		to := "/var/tmp/upkeep-restore/" + b.Workflow + "-" + b.Job + "-" + b.ID
		return []api.RestoreCommand{
			{Title: "Show every step and change nothing", Command: command("--to", to, "--dry-run")},
			{Title: "Restore into a new place, beside what is there", Command: command("--to", to), Changes: true},
		}
	}
	source := databaseOf(cfg, b)
	list := []api.RestoreCommand{
		{Title: "Show every step and change nothing", Command: command("--to", source, "--replace", "--dry-run")},
	}
	for _, d := range cfg.Databases {
		if d.Name != source {
			list = append(list, api.RestoreCommand{Title: "Restore into the database " + d.Name + ", made when it does not exist", Command: command("--to", d.Name, "--create"), Changes: true})
			break
		}
	}
	return append(list, api.RestoreCommand{
		Title: "Put it in the place of " + source + ", of which what is there stays beside it", Command: command("--to", source, "--replace", "--disconnect"), Changes: true,
	})
}

// databaseOf is the configured database that an artifact was made from, or
// DATABASE when the configuration no longer says.
func databaseOf(cfg *configs.Config, b api.Backup) string {
	if w, err := cfg.Workflow(b.Workflow); err == nil {
		if name, ok := w.Option(b.Job, "database"); ok {
			return name
		}
	}
	return "DATABASE"
}
