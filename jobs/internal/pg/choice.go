package pg

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
)

// Databases returns the configured databases of an option `database`, one or a
// list of names, all of which must be PostgreSQL. Errors are
// *jobs.FieldError; the databases that are right are returned beside them.
func Databases(deps jobs.Deps, names ...string) ([]jobs.Database, []error) {
	var all []jobs.Database
	var errs []error
	for i, name := range names {
		db, err := jobs.DatabaseOf(deps, jobs.Postgres, name)
		if err != nil {
			field := "database"
			if len(names) > 1 {
				field = fmt.Sprintf("database[%d]", i)
			}
			errs = append(errs, &jobs.FieldError{Field: field, Why: err.Error(), Hint: jobs.HintOf(err)})
			continue
		}
		all = append(all, db)
	}
	return all, errs
}

// LockKeys are the keys of jobs.Exclusive that keep heavy work on the same
// databases from running at once.
func LockKeys(databases ...jobs.Database) []string {
	var keys []string
	for _, db := range databases {
		keys = append(keys, "database/"+db.Name)
	}
	return keys
}

// Listed lists the names of databases for a sentence, the first few of many.
func Listed(names []string) string {
	const most = 4
	var listed []string
	for i, name := range names {
		if i == most && len(names) > most+1 {
			return strings.Join(listed, ", ") + fmt.Sprintf(" and %d more databases", len(names)-most)
		}
		listed = append(listed, jobs.OneLine(name))
	}
	return strings.Join(listed, ", ")
}

// Patterns joins patterns of whole names in which * stands for any text, also
// of several lines; nil for none.
func Patterns(all []string) *regexp.Regexp {
	if len(all) == 0 {
		return nil
	}
	var quoted []string
	for _, pattern := range all {
		quoted = append(quoted, strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*"))
	}
	return regexp.MustCompile(`\A(?s:` + strings.Join(quoted, "|") + `)\z`)
}
