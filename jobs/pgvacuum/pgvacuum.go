// Package pgvacuum is the kind that cleans and analyzes tables of PostgreSQL
// with VACUUM and ANALYZE. It knows which tables need it by the thresholds that
// autovacuum uses, how to do it table by table without getting in anybody's
// way, and what keeps a server from cleaning. It refuses standbys, poolers that
// lend connections for a transaction, and to rewrite tables without rails.
package pgvacuum

import (
	"errors"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

const doc = `Vacuums and analyzes the tables of PostgreSQL that need it, the most urgent first, one statement per table.

It replaces ` + "`VACUUM ANALYZE`" + ` of a whole database. One query reads what autovacuum goes by, per-table
storage parameters and TOAST included, and each table gets a score: the largest of

- dead rows, as a share of autovacuum_vacuum_threshold + scale_factor × rows,
- rows inserted since the last vacuum, as a share of the same for inserts,
- the age of its oldest transaction and multixact, as a share of autovacuum_freeze_max_age and
  autovacuum_multixact_freeze_max_age,
- rows changed since the last analyze, as a share of autovacuum_analyze_threshold + scale_factor × rows;
  never analyzed counts as 100%. Parents of partitions, which autovacuum never analyzes, count by their
  partitions.

A table is due when its score reaches ` + "`due`" + `; tables past their freeze limit go first. Temporary and foreign
tables, tables below min_size and those that the patterns leave out are not touched. A table that only
needs ANALYZE gets that alone; one whose TOAST table alone is due gets that vacuumed.
Before each statement the score is computed again: what autovacuum did meanwhile is not done twice.

**Modes.** ` + "`vacuum`" + ` cleans and analyzes; what is due by its age is read in full so that its age falls.
` + "`analyze`" + ` only refreshes the planner's statistics. ` + "`freeze`" + ` goes by age alone and freezes all rows.

**Staying out of the way.** Tables that somebody has locked are skipped, and tried once more at the end,
then waiting up to lock_timeout. ` + "`truncate`" + ` is off, because giving back the empty end of a table locks out
readers, also on standbys. cost_delay slows the work down. The job holds the lock database/NAME, so that it
does not run during a dump of the same database by upkeep, and an advisory lock in each database, so that
two hosts do not vacuum it at once. It refuses to work on a standby and through a pooler of transactions.

**Time.** When time_budget is over, no other table is begun; the one under way may go on for overrun and is
then canceled. What was left is reported, and comes first the next time. A statement also ends on the server
when upkeep dies (client_connection_check_interval, PostgreSQL 14 and later; before, and for a host that
died, TCP keepalives), and the next run ends what is still there.

**What blocks cleaning** is reported as findings: the oldest transactions, idle ones, prepared transactions,
replication slots and standbys with feedback that hold back dead rows, with who and for how long: those that
are older than blocker_age (slots and standbys: a million transactions), and whoever is to blame when a table
that was vacuumed is still due.

**VACUUM FULL** rewrites a table under a lock that shuts everybody out. It is only done to the tables named
in full.tables, within full.window, up to full.max_size, when the table is estimated to shrink by full.min_gain, and when the file
system of full.volume keeps full.min_free beside a copy, which can only be seen on the server's own machine. System
catalogs are never rewritten. A rail that holds is said in the output; the table is then vacuumed like any other.

**Privileges.** Who may vacuum a table: its owner, the owner of the database, a superuser, and from PostgreSQL 17
whoever has MAINTAIN (role pg_maintain). Tables that may not be vacuumed are reported; when none may, the job
fails. System catalogs that may not be vacuumed are left to autovacuum, unless they are past their freeze limit. With pg_monitor the sessions of others are seen, too.

**Example**, weekly in place of ` + "`psql -c \"VACUUM ANALYZE\"`" + `:

    workflows:
      weekly:
        schedule: {weekly: "sun 03:30"}
        jobs:
          vacuum:
            kind: pgvacuum
            timeout: 4h
            with:
              database: ghosteam
              time_budget: 2h
              exclude_tables: ["audit.*"]

` + "`upkeep run weekly.vacuum --dry-run`" + ` shows the tables that are due, with their scores and reasons.

PostgreSQL 13 and later. What a version does not know is left out of its statements: database statistics are
computed once at the end from 16 on, as buffer_usage_limit works from 16 on. 13 does not note when a parent of
partitions was analyzed, so that every run does it there.

Values: tables, tables_due, tables_vacuumed, tables_analyzed, tables_locked, tables_denied, tables_failed,
tables_left, dead_rows_before, dead_rows_after, before_bytes, after_bytes, oldest_transaction_age, work_seconds,
lock_wait_seconds, blocker_seconds (how long the oldest transaction that held back cleaning had lasted); for up to 25 tables, the most urgent first, as NAME.TABLE (TABLE is SCHEMA.TABLE outside of public,
after the database's name when there are several): dead_rows_before, dead_rows_after, before_bytes, after_bytes,
frozen_age_before, frozen_age_after, pages_removed, work_seconds, lock_wait_seconds.

Findings: locked:DATABASE/TABLE, denied:, canceled: and failed: for up to 20 tables each, left, not-removable:DATABASE,
not-frozen:, blocker:DATABASE/KIND, blind:, no-match:, setting:DATABASE/NAME. A table that failed fails the job, after
the others had their turn.`

// The modes of the job.
const (
	modeVacuum  = "vacuum"
	modeAnalyze = "analyze"
	modeFreeze  = "freeze"
)

// Options are the options of the kind.
type Options struct {
	Database         unit.Names    `yaml:"database" required:"true" doc:"Database, or list of databases, by their names under databases:." example:"ghosteam"`
	AllDatabases     bool          `yaml:"all_databases" doc:"Every database of the servers that database names, instead of these alone."`
	ExcludeDatabases []string      `yaml:"exclude_databases" doc:"Databases that all_databases leaves out." example:"[scratch]"`
	Mode             string        `yaml:"mode" enum:"vacuum,analyze,freeze" doc:"What to do: vacuum (and analyze), analyze only, or freeze by age."`
	Analyze          bool          `yaml:"analyze" doc:"Whether mode vacuum also analyzes tables whose statistics are old."`
	Tables           []string      `yaml:"tables" doc:"Only these tables: patterns with * and ?, of the table's name, or of SCHEMA.TABLE when there is a dot." example:"[orders, 'app.*']"`
	ExcludeTables    []string      `yaml:"exclude_tables" doc:"Leave out these tables: patterns as in tables." example:"['audit.*']"`
	Due              unit.Share    `yaml:"due" doc:"The share of its own thresholds that a table must have reached: 100% is when autovacuum would act, less is before it has to."`
	MinSize          unit.Size     `yaml:"min_size" doc:"Smaller tables are left to autovacuum, unless they are past their freeze limit."`
	TimeBudget       unit.Duration `yaml:"time_budget" doc:"No table is begun after this time; 0s means no limit."`
	Overrun          unit.Duration `yaml:"overrun" doc:"How long the statement under way at the end of the budget may go on before it is canceled."`
	LockTimeout      unit.Duration `yaml:"lock_timeout" doc:"How long a statement may wait for a lock."`
	SkipLocked       bool          `yaml:"skip_locked" doc:"Skip locked tables at once and try them again at the end, instead of waiting for each."`
	Truncate         bool          `yaml:"truncate" doc:"Give the empty end of tables back to the file system, which locks out readers for a moment."`
	IndexCleanup     string        `yaml:"index_cleanup" enum:"auto,on,off" doc:"Whether dead rows are removed from indexes; auto skips that where it does not pay."`
	Parallel         int           `yaml:"parallel" doc:"How many processes may clean the indexes of one table, 0 to 1024; -1 leaves it to the server. More than 0 needs a table with several large indexes."`
	BufferUsageLimit unit.Size     `yaml:"buffer_usage_limit" doc:"Memory of the server's buffers that a statement may use (128KiB to 16GiB, PostgreSQL 16 and later); 0 leaves it to the server." example:"64MiB"`
	MaintenanceMem   unit.Size     `yaml:"maintenance_work_mem" doc:"Memory for lists of dead rows and for rewriting; 0 leaves it to the server." example:"512MiB"`
	CostDelay        unit.Duration `yaml:"cost_delay" doc:"How long to pause whenever cost_limit is used up, at most 100ms; 0s works at full speed." example:"2ms"`
	CostLimit        int           `yaml:"cost_limit" doc:"Cost between two pauses, 1 to 10000; 0 leaves it to the server."`
	BlockerAge       unit.Duration `yaml:"blocker_age" doc:"Transactions older than this that hold back cleaning are reported, also when nothing was left uncleaned."`
	Full             Full          `yaml:"full" doc:"Tables to rewrite with VACUUM FULL, and the rails for that; none by default."`
}

// Full are the rails of VACUUM FULL.
type Full struct {
	Tables  []string   `yaml:"tables" doc:"Tables that may be rewritten: patterns as in tables. Everybody is locked out of a table meanwhile." example:"[queue]"`
	MaxSize unit.Size  `yaml:"max_size" doc:"Larger tables, indexes and TOAST included, are not rewritten."`
	MinGain unit.Share `yaml:"min_gain" doc:"The share of the table that must be estimated to be empty."`
	MinFree unit.Size  `yaml:"min_free" doc:"The room that must be left on volume beside a whole copy of the table."`
	Volume  unit.Path  `yaml:"volume" doc:"A path on this machine on the file system that holds the server's tables; required with tables." example:"/var/lib/postgresql"`
	Window  string     `yaml:"window" doc:"When tables may be rewritten, as HH:MM-HH:MM in the workflow's time zone; required with tables." example:"02:00-04:00"`
}

// Kind returns the kind of job.
func Kind() jobs.Kind {
	return jobs.Define("pgvacuum", doc, Options{
		Mode:         modeVacuum,
		Analyze:      true,
		Due:          50,
		MinSize:      64 << 10,
		TimeBudget:   unit.Duration(2 * time.Hour),
		Overrun:      unit.Duration(10 * time.Minute),
		LockTimeout:  unit.Duration(5 * time.Second),
		SkipLocked:   true,
		IndexCleanup: "auto",
		Parallel:     -1,
		BlockerAge:   unit.Duration(15 * time.Minute),
		Full:         Full{MaxSize: 1 << 30, MinGain: 30, MinFree: 10 << 30},
	}, New)
}

// Job cares for tables.
type Job struct {
	options   Options
	rules     rules
	databases []jobs.Database
}

var (
	_ jobs.Job       = (*Job)(nil)
	_ jobs.Checker   = (*Job)(nil)
	_ jobs.Exclusive = (*Job)(nil)
)

// New builds the job.
func New(o Options, deps jobs.Deps) (jobs.Job, error) {
	databases, errs := pg.Databases(deps, o.Database...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Job{options: o, rules: newRules(o), databases: databases}, nil
}

// LockKeys keeps dumps and other heavy work on the same database from running
// at once: a dump's snapshot would keep every dead row alive.
func (j *Job) LockKeys() []string { return pg.LockKeys(j.databases...) }
