package pgbackup

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

var _ jobs.Drilling = (*Job)(nil)

// validateDrill judges what the options say about drills.
func (o *Options) validateDrill() error {
	var errs []error
	for i, assertion := range o.Drill.Assert {
		if strings.TrimSpace(assertion) == "" {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("drill.assert[%d]", i), "the assertion is empty"))
		}
	}
	if len(o.Drill.Assert) > 0 && (len(o.Database) > 1 || o.AllDatabases) {
		errs = append(errs, jobs.Fieldf("drill.assert", "nothing says which of several databases the assertions are about: save that one by a job of its own"))
	}
	for word, level := range map[string]object.Level{"daily": o.Verify.Daily, "weekly": o.Verify.Weekly, "monthly": o.Verify.Monthly} {
		if level == object.L4 && !o.Drill.Local {
			errs = append(errs, &jobs.FieldError{
				Field: "verify." + word, Why: "L4 makes a PostgreSQL server of its own on this machine, which is not allowed yet",
				Hint: "allow it with drill: {local: true}, or use L3",
			})
		}
	}
	return errors.Join(errs...)
}

// Drill implements jobs.Drilling.
func (j *Job) Drill() jobs.Drill {
	return jobs.Drill{Database: j.options.Drill.Database, Assert: j.options.Drill.Assert, Open: j.open}
}

// open resolves the names of the databases that the job was given.
func (j *Job) open(name string) (jobs.Database, error) {
	if j.drilled != nil && j.drilled.Name == name {
		return *j.drilled, nil
	}
	for _, db := range j.databases {
		if db.Name == name {
			return db, nil
		}
	}
	return jobs.Database{}, fmt.Errorf("the job has no database %q", name)
}
