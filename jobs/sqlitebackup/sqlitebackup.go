// Package sqlitebackup is the kind that saves an SQLite database which may be
// in use. It knows how to take a consistent copy, what to look at in it, and
// how to prove that what a store holds is that database. It refuses to save
// what is no database, is corrupt or is empty.
package sqlitebackup

import (
	"errors"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/storage/object"
)

const doc = `Saves an SQLite database, also while programs write to it, and proves the copy.

A consistent copy is made in the job's working directory, checked (integrity_check,
foreign_key_check) and counted: the rows of every table go into the manifest. The copy is compressed
into the stores, fetched back from each, unpacked, opened and counted again; only a copy that is a
sound database with the same rows gets a manifest, without which no backup exists.

**method** is how the copy is made. ` + "`backup`" + ` copies page by page from one snapshot (the online backup
API): writers go on in WAL mode and wait in the other journal modes. ` + "`vacuum`" + ` writes a compact copy
(VACUUM INTO): it leaves out free pages and needs more CPU.

**max_drop** compares each table with the last good run: a table that lost a larger share of its rows
is reported, and the backup is kept but marked as suspect: no older backup is removed on its account.
If the loss was intended, it is taken for normal after three runs and seven days; raising max_drop for
one run does so at once.

The working directory needs as much free space as the database takes, for the copy and once more for
the proof. The user that runs upkeep must be able to read the database and, in WAL mode, to write to
its directory or to find the ` + "`-shm`" + ` file of a running program there.

Values: bytes, stored_bytes, ratio, rows, tables, rows.TABLE (of the 200 largest tables),
copy_seconds, verify_seconds, drill_seconds, restore_seconds.`

// Options are the options of the kind.
type Options struct {
	Path   unit.Path `yaml:"path" required:"true" doc:"The database file." example:"var/app.db"`
	Method string    `yaml:"method" enum:"backup,vacuum" doc:"How the consistent copy is made."`
	// The options of every kind that publishes artifacts.
	artifact.Options `yaml:",inline"`
	MaxDrop          unit.Share    `yaml:"max_drop" doc:"The largest share of its rows that a table may lose since the last good run without being reported; 100% turns it off." example:"30%"`
	MinRows          int64         `yaml:"min_rows" doc:"Tables that had fewer rows are not compared with the last good run."`
	Wait             unit.Duration `yaml:"wait" doc:"How long to wait for a program that has locked the database."`
	AllowEmpty       bool          `yaml:"allow_empty" doc:"Accept a database without tables."`
	Drill            DrillOptions  `yaml:"drill" doc:"How backups are drilled: restored in full to prove that they can be, by verify or by upkeep backup drill."`
}

const (
	methodBackup = "backup"
	methodVacuum = "vacuum"
)

// Kind returns the kind of job.
func Kind() jobs.Kind {
	return jobs.Define("sqlitebackup", doc, Options{
		Method:  methodBackup,
		Options: artifact.Defaults(),
		MaxDrop: 50,
		MinRows: 100,
		Wait:    unit.Duration(30e9),
	}, New).WithArtifacts(artifacts{})
}

// Validate judges the options.
func (o *Options) Validate() error {
	errs := []error{o.Options.ValidateUpTo(object.L3), o.validateDrill()}
	if o.MinRows < 0 {
		errs = append(errs, jobs.Fieldf("min_rows", "%d is negative", o.MinRows))
	}
	return errors.Join(errs...)
}

// Job saves a database.
type Job struct {
	options   Options
	publisher *artifact.Publisher
	history   jobs.History
}

var (
	_ jobs.Job       = (*Job)(nil)
	_ jobs.Checker   = (*Job)(nil)
	_ jobs.Exclusive = (*Job)(nil)
)

// New builds the job.
func New(o Options, deps jobs.Deps) (jobs.Job, error) {
	publisher, err := artifact.New("sqlitebackup", o.Options, deps)
	if err != nil {
		return nil, err
	}
	history, err := deps.History("", "")
	if err != nil {
		return nil, err
	}
	return &Job{options: o, publisher: publisher, history: history}, nil
}

// LockKeys keeps two backups of the same file, whose absolute path begins with
// a slash, from running at once.
func (j *Job) LockKeys() []string { return []string{"sqlite" + j.options.Path.String()} }
