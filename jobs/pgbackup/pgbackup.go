// Package pgbackup is the kind that saves PostgreSQL databases with pg_dump. It
// knows how to get a consistent dump and a catalog of the same instant, how to
// publish it only when it is whole, and how to prove what a store holds without
// a server. It refuses clients that are too old, poolers that would break the
// snapshot, and to call anything saved that it did not count.
package pgbackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

const doc = `Saves PostgreSQL databases with pg_dump, straight into the stores, and proves every copy.

One snapshot serves pg_dump and a catalog of the database: tables with exact row counts, sizes,
extensions, roles, settings. The dump (format custom, not compressed by pg_dump) is hashed,
compressed on all cores, encrypted if wanted, and streamed into all stores at once, in constant
memory. Each copy is then fetched back, read in full by pg_restore and compared, table by table and
row by row, with the catalog (L2, which needs no server); only then does the manifest appear,
without which no backup exists. A dump that ends early, a server process that is killed, a full disk or
a store that lies never becomes a backup.

**By hand:** ` + "`zstd -dc NAME.dump.zst | pg_restore -d NEW`" + `; with volumes
` + "`cat NAME.dump.zst*`" + ` first; with encryption ` + "`age -d -i KEY`" + ` before zstd; ` + "`psql -f globals.sql`" + ` first for
roles and tablespaces.

**Client programs.** pg_dump and pg_restore of the server's major version are used, else of the next
higher one; with older ones the job is refused before it touches anything. They are looked for in PATH
and in the usual folders of packages.

**Connection.** The server's own address is needed: a pooler that lends connections for one
transaction is detected and refused. The password reaches pg_dump in a file that only its owner can
read. On a standby the dump shows the state that has been replayed; a long dump there can be canceled
by the primary's vacuum (max_standby_streaming_delay, hot_standby_feedback), and the data of unlogged
tables is not in it.

**Privileges.** A role with pg_read_all_data (PostgreSQL 14 and later) and CONNECT is enough; with
row security it needs BYPASSRLS, else pg_dump fails rather than leave rows out. Password hashes of
roles are in globals.sql when the role may read them (superuser, pg_read_all_data), and role_passwords is on.

**jobs: N** dumps with N connections (format directory) into the job's working directory, from where
each finished file moves into the stores while the others are being written: NAME.dir.tar. It needs
room there for the largest tables as they are written.

**Anomalies.** Bytes, rows, tables and duration are compared with the median of the last good runs.
What falls too far is reported; the backup is kept but marked as suspect, and no older backup is
removed on its account. What stays that way for three runs and seven days is taken for normal.

**Drills.** ` + "`verify: {each: L2, weekly: L3}`" + ` restores the new copy once a week into a scratch database,
counts every table, asks the questions under drill, measures how long that took, and drops it: a
backup that cannot be restored becomes a critical finding, and does not count any more when it is
damaged. The user of that server must be allowed to make databases. Databases upkeep_drill_… that a
dead drill left are dropped by the next one, when they carry its mark, nobody is connected, and
their process is known to be dead or they are older than an hour. L4 does the same on a throwaway server, roles included, and needs drill.local.

Values: bytes, stored_bytes, ratio, databases, tables, rows, rows.TABLE (of the 200 largest tables;
DATABASE.TABLE when there are several databases), database_bytes, dump_seconds, verify_seconds,
drill_seconds, restore_seconds.`

// Options are the options of the kind.
type Options struct {
	Database         unit.Names `yaml:"database" required:"true" doc:"Database, or list of databases, by their names under databases:." example:"ghosteam"`
	AllDatabases     bool       `yaml:"all_databases" doc:"Save every database of the servers that database names, instead of these alone."`
	ExcludeDatabases []string   `yaml:"exclude_databases" doc:"Databases that all_databases leaves out." example:"[scratch]"`
	// The options of every kind that publishes artifacts.
	artifact.Options `yaml:",inline"`
	Jobs             int           `yaml:"jobs" doc:"How many connections dump at once, 1 to 64; above 1 the format is directory, which needs room in the working directory."`
	Schemas          []string      `yaml:"schemas" doc:"Save only these schemas: patterns of pg_dump --schema. Large objects are left out then." example:"[app, 'tenant_*']"`
	ExcludeSchemas   []string      `yaml:"exclude_schemas" doc:"Leave out these schemas: patterns of pg_dump --exclude-schema."`
	Tables           []string      `yaml:"tables" doc:"Save only these tables: patterns of pg_dump --table. Large objects are left out then." example:"[public.orders]"`
	ExcludeTables    []string      `yaml:"exclude_tables" doc:"Leave out these tables: patterns of pg_dump --exclude-table."`
	ExcludeRows      []string      `yaml:"exclude_rows" doc:"Save the definition of these tables but not their rows: patterns of pg_dump --exclude-table-data." example:"['audit.*']"`
	Globals          bool          `yaml:"globals" doc:"Also save roles, tablespaces and their settings (pg_dumpall --globals-only), without which a restore on a new server is not complete."`
	RolePasswords    bool          `yaml:"role_passwords" doc:"Include the password hashes of roles when they may be read."`
	CountRows        unit.Duration `yaml:"count_rows" doc:"How long rows may be counted in the dump's snapshot, for each database, the smallest tables first; tables beyond that have an estimate, marked as one. 0s turns counting off."`
	LockTimeout      unit.Duration `yaml:"lock_timeout" doc:"How long to wait for locks that others hold on tables before giving up."`
	IdleTimeout      unit.Duration `yaml:"idle_timeout" doc:"How long pg_dump may send nothing before it is taken for stuck."`
	SnapshotTimeout  unit.Duration `yaml:"snapshot_timeout" doc:"How long the dump of one database may take: its snapshot keeps vacuum from cleaning up for so long."`
	Client           unit.Path     `yaml:"client" doc:"The folder of pg_dump, pg_restore and pg_dumpall, instead of looking for them." example:"/usr/lib/postgresql/17/bin"`
	MinFree          unit.Size     `yaml:"min_free" doc:"The room that must be left in a store that knows its free space after a backup as large as the last one." example:"2GiB"`
	MaxDrop          unit.Share    `yaml:"max_drop" doc:"The largest share by which bytes, tables, or the rows of a table or of all may fall below the median of the last good runs without being reported; 100% turns it off." example:"30%"`
	MaxSlowdown      float64       `yaml:"max_slowdown" doc:"How many times the median duration a dump may take without being reported; 0 turns it off. A slow backup is not suspect."`
	AllowEmpty       bool          `yaml:"allow_empty" doc:"Accept a database without tables, which may be the wrong one; all_databases does."`
	MinRows          int64         `yaml:"min_rows" doc:"Tables that had fewer rows are not compared with the last good runs."`
	Drill            DrillOptions  `yaml:"drill" doc:"How backups are drilled: restored in full to prove that they can be, by verify or by upkeep backup drill."`
}

// DrillOptions say how a backup is drilled.
type DrillOptions struct {
	Database string   `yaml:"database" doc:"Database, by its name under databases:, whose server takes the scratch database of L3; without it the one that is saved." example:"staging"`
	Assert   []string `yaml:"assert" doc:"SQL that the restored database must answer with true, or with at least one row." example:"['SELECT count(*) > 1000 FROM orders']"`
	Local    bool     `yaml:"local" doc:"Allow L4, which makes a PostgreSQL server of its own on this machine for as long as the drill takes; the server's programs must be installed."`
}

// Kind returns the kind of job.
func Kind() jobs.Kind {
	return jobs.Define("pgbackup", doc, Options{
		Options:         artifact.Defaults(),
		Jobs:            1,
		Globals:         true,
		RolePasswords:   true,
		CountRows:       unit.Duration(5 * 60e9),
		LockTimeout:     unit.Duration(5 * 60e9),
		IdleTimeout:     unit.Duration(15 * 60e9),
		SnapshotTimeout: unit.Duration(12 * 3600e9),
		MaxDrop:         50,
		MaxSlowdown:     5,
		MinRows:         100,
	}, New).WithArtifacts(artifacts{Prover: Verify})
}

// mostJobs bounds the connections of one dump.
const mostJobs = 64

// Validate judges the options.
func (o *Options) Validate() error {
	errs := []error{o.Options.ValidateUpTo(object.L4), o.validateDrill()}
	if len(o.Database) == 0 {
		errs = append(errs, jobs.Fieldf("database", "no database is given"))
	}
	if len(o.ExcludeDatabases) > 0 && !o.AllDatabases {
		errs = append(errs, jobs.Fieldf("exclude_databases", "only all_databases can leave some out"))
	}
	if o.Jobs < 1 || o.Jobs > mostJobs {
		errs = append(errs, jobs.Fieldf("jobs", "%d is not a number of connections: use 1 to %d", o.Jobs, mostJobs))
	}
	for name, patterns := range map[string][]string{
		"schemas": o.Schemas, "exclude_schemas": o.ExcludeSchemas, "tables": o.Tables,
		"exclude_tables": o.ExcludeTables, "exclude_rows": o.ExcludeRows,
	} {
		for i, pattern := range patterns {
			if strings.TrimSpace(pattern) == "" {
				errs = append(errs, jobs.Fieldf(fmt.Sprintf("%s[%d]", name, i), "the pattern is empty"))
			}
		}
	}
	for name, d := range map[string]unit.Duration{"lock_timeout": o.LockTimeout, "idle_timeout": o.IdleTimeout, "snapshot_timeout": o.SnapshotTimeout} {
		if d.Std() < 1e9 {
			errs = append(errs, jobs.Fieldf(name, "%s is too short: use at least 1s", d))
		}
	}
	if o.MaxSlowdown != 0 && o.MaxSlowdown < 1 {
		errs = append(errs, jobs.Fieldf("max_slowdown", "%v would report every run: use 0, or more than 1", o.MaxSlowdown))
	}
	if o.MinRows < 0 {
		errs = append(errs, jobs.Fieldf("min_rows", "%d is negative", o.MinRows))
	}
	return errors.Join(errs...)
}

// Job saves databases.
type Job struct {
	options   Options
	publisher *artifact.Publisher
	databases []jobs.Database
	history   jobs.History
	// drilled is the database whose server takes scratch databases, if another.
	drilled *jobs.Database
}

var (
	_ jobs.Job       = (*Job)(nil)
	_ jobs.Checker   = (*Job)(nil)
	_ jobs.Exclusive = (*Job)(nil)
)

// New builds the job.
func New(o Options, deps jobs.Deps) (jobs.Job, error) {
	var errs []error
	j := &Job{options: o}
	for i, name := range o.Database {
		db, err := jobs.DatabaseOf(deps, jobs.Postgres, name)
		if err != nil {
			field := "database"
			if len(o.Database) > 1 {
				field = fmt.Sprintf("database[%d]", i)
			}
			errs = append(errs, &jobs.FieldError{Field: field, Why: err.Error(), Hint: jobs.HintOf(err)})
			continue
		}
		j.databases = append(j.databases, db)
	}
	if o.Drill.Database != "" {
		db, err := jobs.DatabaseOf(deps, jobs.Postgres, o.Drill.Database)
		if err != nil {
			errs = append(errs, &jobs.FieldError{Field: "drill.database", Why: err.Error(), Hint: jobs.HintOf(err)})
		}
		j.drilled = &db
	}
	var err error
	if j.publisher, err = artifact.New("pgbackup", o.Options, deps); err != nil {
		errs = append(errs, err)
	}
	if j.history, err = deps.History("", ""); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return j, nil
}

// LockKeys keeps other heavy work on the same database from running at once.
func (j *Job) LockKeys() []string {
	var keys []string
	for _, db := range j.databases {
		keys = append(keys, "database/"+db.Name)
	}
	return keys
}

// Verify proves a backup up to L2: it reads every dump anew through the store,
// in full by pg_restore, and compares the rows of every table with the
// manifest. No server is needed. What is wrong wraps object.ErrDamaged.
func Verify(ctx context.Context, env *jobs.Env, a *object.Artifact, keys crypt.Keys) error {
	return verify(ctx, env, a, keys, "")
}

// Read hands the plain bytes of one stream of a backup, a dump or globals, to
// read, opened anew through the store and decrypted with the age identities in
// the files, if need be. What read saw may be trusted only when Read has
// returned nil.
func Read(ctx context.Context, a *object.Artifact, stream string, read func(io.Reader) error, identities ...string) error {
	keys, err := crypt.Load(identities...)
	if err != nil {
		return err
	}
	return artifact.Read(ctx, a, keys, stream, read)
}
