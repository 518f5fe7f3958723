// Package pgindex is the kind that builds indexes of PostgreSQL tables while
// the tables are in use, and builds damaged or bloated ones anew. It knows how
// such a build fails and what it leaves behind, and proves that a leftover is
// its own by its name. It refuses to change what is called like an index of the
// configuration and is another one, standbys, and poolers that would break its
// session.
package pgindex

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const doc = `Builds indexes of PostgreSQL tables without keeping writers waiting, and builds invalid or bloated ones anew.

Each index under ` + "`indexes`" + ` that is not there yet is built with CREATE INDEX CONCURRENTLY under the name
NAME_upkeep and gets its own name when it is valid. So an index of that name which is not valid is what a run of
this kind left when it was interrupted (killed, canceled, a duplicate in a unique index): the next run drops it and builds anew. A run over
indexes that are there does nothing.

**What is there** is compared with the configuration as the server itself would write it: each definition is
tried on an empty temporary copy of the table, in a transaction that is rolled back. An index of the name with
another definition, or on another table, is refused, and nothing is built. One that is not valid and of the same definition
was not left by this kind; it is refused too, unless ` + "`replace_invalid`" + ` allows to drop it.

**` + "`reindex`" + `** rebuilds with REINDEX INDEX CONCURRENTLY (12 and later) what its rules choose: invalid indexes, and B-trees with much
estimated empty room (see pgreview for the estimate), the most urgent first. With ` + "`invalid: true`" + ` it also drops what an interrupted
REINDEX CONCURRENTLY left, as PostgreSQL's manual advises: invalid indexes called like another index of the same definition and
_ccnew or _ccold.

**Locks.** A build needs the table's SHARE UPDATE EXCLUSIVE lock, which keeps neither readers nor writers
waiting, but vacuum and other definitions. It is first tried for lock_timeout, up to ` + "`attempts`" + ` times. While it builds, the
server waits for older transactions, each time up to wait_timeout; who is waited for is said. What is older than that makes the
attempt fail, and its leftover is dropped.

**Where.** On the primary, at the server's own address. The role must own the tables. Not while
another upkeep builds in the same database (an advisory lock) and not during a backup or vacuum of it by this upkeep.
Indexes of partitioned tables cannot be built concurrently and are refused. Free space is checked where the
server's data directory can be seen from here: there must be room for the index (at most the size of the table) and min_free.

Values: indexes, built, rebuilt, dropped, skipped, index_bytes (of what was built), build_seconds.`

// Options are the options of the kind.
type Options struct {
	Database       string        `yaml:"database" required:"true" doc:"The database by its name under databases:." example:"ghosteam"`
	Indexes        []Index       `yaml:"indexes" doc:"The indexes that must be there."`
	Reindex        Reindex       `yaml:"reindex" doc:"Which indexes are built anew."`
	ReplaceInvalid bool          `yaml:"replace_invalid" doc:"Drop an invalid index that has the name and definition of one under indexes, whoever left it, and build it anew."`
	LockTimeout    unit.Duration `yaml:"lock_timeout" doc:"How long one try for the lock of a table may wait."`
	WaitTimeout    unit.Duration `yaml:"wait_timeout" doc:"How long a build may wait for older transactions, each time."`
	Attempts       int           `yaml:"attempts" doc:"How often a build is tried that fails for a lock, 1 to 100."`
	Pause          unit.Duration `yaml:"pause" doc:"How long to wait between two tries."`
	MinFree        unit.Size     `yaml:"min_free" doc:"The room that must be left on the server's disk, where that can be seen."`
	Memory         unit.Size     `yaml:"maintenance_work_mem" doc:"The server's maintenance_work_mem for the builds; 0 leaves its own." example:"1GiB"`
}

// Index is the definition of an index.
type Index struct {
	Name       string            `yaml:"name" required:"true" doc:"The name, without a schema: an index is in that of its table." example:"predictions_model_idx"`
	Table      string            `yaml:"table" required:"true" doc:"The table, as SCHEMA.TABLE or as it would be written in SQL." example:"public.predictions"`
	Columns    []string          `yaml:"columns" required:"true" doc:"What it is sorted by: names of columns, or anything that SQL allows there." example:"[model_name, created_at DESC, 'lower(note)']"`
	Unique     bool              `yaml:"unique" doc:"Whether no two rows may be equal in its columns."`
	Method     string            `yaml:"method" doc:"The access method; btree without it." example:"gin"`
	Include    []string          `yaml:"include" doc:"Names of columns that are only stored in it (11 and later)." example:"[score]"`
	Where      string            `yaml:"where" doc:"Which rows are in it, as in SQL; all without it." example:"deleted_at IS NULL"`
	With       map[string]string `yaml:"with" doc:"Storage parameters." example:"{fillfactor: '80'}"`
	Tablespace string            `yaml:"tablespace" doc:"Where it is stored; the database's own place without it."`
}

// Reindex says what is built anew.
type Reindex struct {
	Invalid bool       `yaml:"invalid" doc:"Rebuild invalid indexes, and drop what an interrupted REINDEX CONCURRENTLY left."`
	Bloated unit.Share `yaml:"bloated" doc:"Rebuild B-tree indexes of which more than this share is estimated to be empty room; 0 means none." example:"50%"`
	MinSize unit.Size  `yaml:"min_bloat" doc:"Leave out indexes with less estimated empty room than this."`
	Match   []string   `yaml:"match" doc:"Only indexes whose SCHEMA.NAME matches one of these patterns; * stands for any text. All when it is empty." example:"['public.*']"`
	Exclude []string   `yaml:"exclude" doc:"Leave out indexes whose SCHEMA.NAME matches one of these patterns."`
	Max     int        `yaml:"max" doc:"How many indexes one run rebuilds at most."`
}

// Kind returns the kind of job.
func Kind() jobs.Kind {
	return jobs.Define("pgindex", doc, Options{
		Reindex:     Reindex{MinSize: 64 << 20, Max: 10},
		LockTimeout: unit.Duration(5 * time.Second), WaitTimeout: unit.Duration(30 * time.Minute),
		Attempts: 5, Pause: unit.Duration(30 * time.Second), MinFree: 1 << 30,
	}, build)
}

const (
	mostAttempts = 100
	// longestName is the longest name that a server keeps, in bytes
	// (NAMEDATALEN - 1).
	longestName = 63
)

// methodName is what an access method may be called here.
var methodName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// Validate judges the options.
func (o *Options) Validate() error {
	var errs []error
	if len(o.Indexes) == 0 && !o.Reindex.Invalid && o.Reindex.Bloated == 0 {
		errs = append(errs, jobs.Fieldf("indexes", "there is nothing to do: no index is listed, and reindex has no rule"))
	}
	names := map[string]bool{}
	for i, x := range o.Indexes {
		at := fmt.Sprintf("indexes[%d]", i)
		if names[x.Table+"\x00"+x.Name] {
			errs = append(errs, jobs.Fieldf(at+".name", "two indexes of %s are called %q", x.Table, x.Name))
		}
		names[x.Table+"\x00"+x.Name] = true
		errs = append(errs, x.validate(at)...)
	}
	for name, d := range map[string]unit.Duration{"lock_timeout": o.LockTimeout, "wait_timeout": o.WaitTimeout} {
		if d.Std() < time.Millisecond {
			errs = append(errs, jobs.Fieldf(name, "%s is too short: use at least 1ms", d))
		}
	}
	if o.Attempts < 1 || o.Attempts > mostAttempts {
		errs = append(errs, jobs.Fieldf("attempts", "%d is out of range: use 1 to %d", o.Attempts, mostAttempts))
	}
	if o.Memory != 0 && o.Memory < 1<<20 {
		errs = append(errs, jobs.Fieldf("maintenance_work_mem", "%s is too small: use at least 1MiB", o.Memory))
	}
	if o.Reindex.Max < 1 {
		errs = append(errs, jobs.Fieldf("reindex.max", "%d is out of range: use at least 1", o.Reindex.Max))
	}
	return errors.Join(errs...)
}

func (x Index) validate(at string) []error {
	var errs []error
	switch {
	case x.Name == "":
		errs = append(errs, jobs.Fieldf(at+".name", "it is required"))
	case len(x.Name) > longestName:
		errs = append(errs, jobs.Fieldf(at+".name", "it has %d bytes, and the server keeps %d", len(x.Name), longestName))
	case strings.ContainsRune(x.Name, 0):
		errs = append(errs, jobs.Fieldf(at+".name", "it contains a zero byte"))
	case isMarked(x.Name):
		errs = append(errs, jobs.Fieldf(at+".name", "names that end in %s are those of indexes that are being built", mark))
	}
	if x.Table == "" {
		errs = append(errs, jobs.Fieldf(at+".table", "it is required"))
	}
	if len(x.Columns) == 0 {
		errs = append(errs, jobs.Fieldf(at+".columns", "there is no column"))
	}
	for i, c := range slices.Concat(x.Columns, x.Include) {
		if strings.TrimSpace(c) == "" {
			errs = append(errs, jobs.Fieldf(at+".columns", "column %d is empty", i+1))
		}
	}
	if x.Method != "" && !methodName.MatchString(x.Method) {
		errs = append(errs, jobs.Fieldf(at+".method", "%q is not an access method", x.Method))
	}
	for name := range x.With {
		if !methodName.MatchString(name) {
			errs = append(errs, jobs.Fieldf(at+".with", "%q is not a storage parameter", name))
		}
	}
	return errs
}

// Job builds indexes.
type Job struct {
	options  Options
	database jobs.Database
}

var (
	_ jobs.Job       = (*Job)(nil)
	_ jobs.Checker   = (*Job)(nil)
	_ jobs.Exclusive = (*Job)(nil)
)

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	databases, errs := pg.Databases(deps, o.Database)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &Job{options: o, database: databases[0]}, nil
}

// LockKeys keeps other heavy work on the same database from running at once.
func (j *Job) LockKeys() []string { return pg.LockKeys(j.database) }
