package sqlitebackup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/storage/object"
)

var (
	_ jobs.Driller  = artifacts{}
	_ jobs.Drilling = (*Job)(nil)
)

// DrillOptions say how a backup is drilled.
type DrillOptions struct {
	Assert []string `yaml:"assert" doc:"SQL that the restored database must answer with a value other than 0, or with several rows." example:"['SELECT count(*) > 1000 FROM orders']"`
}

// validateDrill judges what the options say about drills.
func (o *Options) validateDrill() error {
	var errs []error
	for i, assertion := range o.Drill.Assert {
		if strings.TrimSpace(assertion) == "" {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("drill.assert[%d]", i), "the assertion is empty"))
		}
	}
	return errors.Join(errs...)
}

// Drill implements jobs.Drilling.
func (j *Job) Drill() jobs.Drill { return jobs.Drill{Assert: j.options.Drill.Assert} }

// Deepest implements jobs.Driller.
func (artifacts) Deepest() object.Level { return object.L3 }

// Drill restores the database into a new file, has SQLite check it, compares
// it with the manifest, and lets d.Assert judge it.
func (artifacts) Drill(ctx context.Context, env *jobs.Env, a *object.Artifact, d jobs.Drill) (jobs.Drilled, error) {
	details, err := DetailsOf(a.Manifest)
	if err != nil {
		return jobs.Drilled{}, err
	}
	bytes := details.PageSize * details.Pages
	const name = "restored.sqlite"
	return artifact.Rehearse(ctx, env, a, d, artifact.Rehearsal{
		What:  fmt.Sprintf("%s in %s, %s", artifact.Count(details.Rows(), "row"), artifact.Count(len(details.Tables), "table"), artifact.Bytes(bytes)),
		Bytes: bytes,
		Restore: func(ctx context.Context, dir string, r *object.Restored) error {
			if err := Restore(ctx, a, filepath.Join(dir, name), d.Identities...); err != nil {
				return err
			}
			r.Databases, r.Tables, r.Rows = 1, len(details.Tables), details.Rows()
			return nil
		},
		Judge: func(ctx context.Context, dir string, r *object.Restored) error {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				return fmt.Errorf("look at the restored database: %w", err)
			}
			r.Bytes, r.Assertions = info.Size(), len(d.Assert)
			return holds(ctx, filepath.Join(dir, name), d.Assert)
		},
	})
}

// holds asks the assertions. One that does not hold is a *jobs.AssertionError;
// one that cannot be asked is another error.
func holds(ctx context.Context, path string, assertions []string) (err error) {
	if len(assertions) == 0 {
		return nil
	}
	db, err := openCopy(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, assertion := range assertions {
		answer, err := ask(ctx, db, assertion)
		if err != nil {
			return jobs.WithHint(fmt.Errorf("ask %q: %w", jobs.OneLine(assertion), or(ctx, err)), "correct the assertion: one statement that returns a value or rows")
		}
		if answer != "" {
			return &jobs.AssertionError{Assertion: assertion, Answer: answer}
		}
	}
	return nil
}

// ask returns why an assertion does not hold; nothing when it does. SQLite has
// no booleans: 0 is false.
func ask(ctx context.Context, db *sql.DB, assertion string) (answer string, err error) {
	rows, err := db.QueryContext(ctx, assertion)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	seen := 0
	for rows.Next() {
		seen++
		if err := rows.Scan(into...); err != nil {
			return "", err
		}
		if seen > 1 {
			return "", rows.Err()
		}
	}
	switch {
	case rows.Err() != nil:
		return "", rows.Err()
	case seen == 0:
		return "no rows", nil
	case len(values) > 0 && values[0] == nil:
		return "null", nil
	case len(values) > 0 && values[0] == any(int64(0)):
		return "0", nil
	}
	return "", nil
}
