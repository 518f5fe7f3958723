package sqlitebackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// Check tells whether the file is a database that can be read and the stores
// can be written to.
func (j *Job) Check(ctx context.Context, _ *jobs.Env) error {
	_, err := j.look()
	return errors.Join(err, j.publisher.Check(ctx))
}

// Run copies, checks, stores and proves the database. In a dry run it only
// looks at the file, because even reading a database can leave traces beside
// it.
func (j *Job) Run(ctx context.Context, env *jobs.Env) (jobs.Result, error) {
	if err := context.Cause(ctx); err != nil {
		return jobs.Result{}, fmt.Errorf("back up %s: %w", j.options.Path, err)
	}
	s, err := j.look()
	if err != nil {
		return jobs.Result{}, err
	}
	if err := j.publisher.RequireSpace(ctx, env, s.bytes); err != nil {
		return jobs.Result{}, err
	}
	what := fmt.Sprintf("a backup of %s (%s)", j.options.Path, artifact.Bytes(s.bytes))
	if env.DryRun() {
		_, err := j.publisher.Publish(ctx, env, artifact.Work{What: what})
		return jobs.Result{
			Summary: fmt.Sprintf("would back up %s, %s in %s", filepath.Base(j.options.Path.String()), artifact.Bytes(s.bytes), j.publisher.Names()),
			Values:  map[string]float64{"bytes": float64(s.bytes)},
		}, err
	}
	copied := filepath.Join(env.WorkDir, "copy.sqlite")
	began := time.Now()
	if err := j.copy(ctx, env, s, copied); err != nil {
		return jobs.Result{}, err
	}
	took := time.Since(began)
	details, findings, err := j.inspect(ctx, copied)
	if err != nil {
		return jobs.Result{Findings: findings}, err
	}
	if s.wal && details.Method == methodBackup {
		details.JournalMode = "wal"
	}
	drops, err := j.drops(ctx, details.Tables)
	if err != nil {
		return jobs.Result{Findings: findings}, err
	}
	result := jobs.Result{Findings: append(drops, findings...)}
	result.Values = rowValues(details.Tables)
	maps.Copy(result.Values, map[string]float64{
		"rows": float64(details.Rows()), "tables": float64(len(details.Tables)), "copy_seconds": took.Seconds(),
	})
	plain := details.PageSize * details.Pages
	outcome, err := j.publisher.Publish(ctx, env, artifact.Work{
		What: what,
		Produce: func(_ context.Context, w *artifact.Writer) (artifact.Note, error) {
			return send(w, copied, details, drops)
		},
		Prove: func(ctx context.Context, a *object.Artifact, keys crypt.Keys) error {
			return Verify(ctx, a, env.WorkDir, keys...)
		},
		Driller: artifacts{},
		Drill:   j.Drill(),
	})
	outcome.Describe(&result, plain)
	result.Summary = fmt.Sprintf("%s in %s, %s", artifact.Count(details.Rows(), "row"), artifact.Count(len(details.Tables), "table"), outcome.Sentence(plain))
	if len(outcome.Copies) == 0 {
		result.Summary = fmt.Sprintf("no store has a copy of %s", filepath.Base(j.options.Path.String()))
	}
	return result, errors.Join(err, os.Remove(copied))
}

// send streams the copy into the stores.
func send(w *artifact.Writer, copied string, details Details, drops []jobs.Finding) (_ artifact.Note, err error) {
	f, err := os.Open(copied)
	if err != nil {
		return artifact.Note{}, fmt.Errorf("read the copy: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out, err := w.Stream(stream)
	if err != nil {
		return artifact.Note{}, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return artifact.Note{}, fmt.Errorf("store the copy: %w", err)
	}
	note := artifact.Note{Details: details}
	if len(drops) > 0 {
		note.Suspect = drops[0].Text
	}
	return note, out.Close()
}
