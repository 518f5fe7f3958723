package pgreview

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// Options are the options of the kind.
type Options struct {
	Database     string                   `yaml:"database" required:"true" doc:"The database by its name under databases:." example:"ghosteam"`
	Checks       []string                 `yaml:"checks" doc:"Only these checks; all of them when it is empty." example:"[wraparound, sequences]"`
	Skip         []string                 `yaml:"skip" doc:"Leave out these checks." example:"[bloat]"`
	Ignore       []string                 `yaml:"ignore" doc:"Leave out findings whose id matches one of these patterns; * stands for any text." example:"['unused_indexes:audit.*', 'unseen:statements']"`
	Severity     map[string]jobs.Severity `yaml:"severity" doc:"The severity of all findings of a check, instead of its own: info, warning or critical." example:"{unused_indexes: warning}"`
	MaxFindings  int                      `yaml:"max_findings" doc:"How many findings of one check are listed, 1 to 40; how many more there are is said."`
	Timeout      unit.Duration            `yaml:"statement_timeout" doc:"How long one question to the server may take before the check counts as unseen."`
	LockTimeout  unit.Duration            `yaml:"lock_timeout" doc:"How long one question may wait for a lock."`
	Indexes      IndexLimits              `yaml:"indexes" doc:"Limits of the checks unused_indexes, duplicate_indexes, prefix_indexes and foreign_keys."`
	Bloat        BloatLimits              `yaml:"bloat" doc:"Limits of the check bloat; both must be broken."`
	Statements   StatementLimits          `yaml:"statements" doc:"Limits of the check statements."`
	Connections  Limits                   `yaml:"connections" doc:"Limits of the used share of the connections that ordinary roles may have, and of those of a role or database with a limit of its own."`
	Transactions TransactionLimits        `yaml:"transactions" doc:"Limits of the check transactions."`
	Keys         Limits                   `yaml:"keys" doc:"Limits of the used share of what sequences and small integer keys can hold."`
	Wraparound   Limits                   `yaml:"wraparound" doc:"Limits of the used share of the 2^31 transaction or multixact ids after which the server would refuse to write."`
	Slots        SlotLimits               `yaml:"slots" doc:"Limits of the check replication_slots."`
	Cache        CacheLimits              `yaml:"cache" doc:"Limits of the check cache_hit."`
	Checkpoints  CheckpointLimits         `yaml:"checkpoints" doc:"Limits of the check checkpoints."`
	Temporary    unit.Size                `yaml:"temp_files" doc:"More temporary files than this in a day are reported; 0 means no limit."`
	NeverRows    int64                    `yaml:"never_analyzed_rows" doc:"Tables with fewer rows need no statistics."`
	Pools        []Pool                   `yaml:"pools" doc:"The connection pools of the programs that use the server; together they must leave reserve connections free."`
	Reserve      int                      `yaml:"reserve" doc:"How many connections must be left for people and tools when all pools are full."`
}

// Limits are two limits of a share; more than a limit breaks it.
type Limits struct {
	Warn unit.Share `yaml:"warn" doc:"More than this share is a warning; 0 means no limit."`
	Crit unit.Share `yaml:"crit" doc:"More than this share is critical; 0 means no limit."`
}

// IndexLimits bound what is said about indexes.
type IndexLimits struct {
	MinSize  unit.Size     `yaml:"min_size" doc:"Smaller indexes are not reported as unused or redundant, and foreign keys of smaller tables are not reported."`
	MaxScans int64         `yaml:"max_scans" doc:"An index with at most so many scans counts as unused."`
	MinAge   unit.Duration `yaml:"min_age" doc:"Statistics that are younger do not show that an index is unused, and indexes that are known to be younger are not reported."`
}

// BloatLimits bound bloat.
type BloatLimits struct {
	Share unit.Share `yaml:"share" doc:"The share of a table or index that may be bloat."`
	Size  unit.Size  `yaml:"size" doc:"The bloat that a table or index may have."`
}

// StatementLimits bound statements.
type StatementLimits struct {
	Top      int           `yaml:"top" doc:"How many statements are shown by total and by mean time, 1 to 100."`
	Mean     unit.Duration `yaml:"mean" doc:"A higher mean time is reported; 0s means no limit."`
	MinCalls int64         `yaml:"min_calls" doc:"Statements with fewer calls are not judged by their mean time."`
	Slower   float64       `yaml:"slower" doc:"A mean time of more than so many times that of before is reported; 0 means no limit."`
	Floor    unit.Duration `yaml:"floor" doc:"Statements that are faster are not reported as slower than before."`
}

// TransactionLimits bound sessions.
type TransactionLimits struct {
	Idle     DurationLimits `yaml:"idle" doc:"Limits of the time that a session may stay idle in a transaction."`
	Open     DurationLimits `yaml:"open" doc:"Limits of the age of a transaction."`
	Prepared DurationLimits `yaml:"prepared" doc:"Limits of the age of a prepared transaction."`
	Unused   unit.Duration  `yaml:"unused" doc:"Sessions that have done nothing for longer are counted and told; 0s means no limit."`
}

// DurationLimits are two limits of a duration.
type DurationLimits struct {
	Warn unit.Duration `yaml:"warn" doc:"Longer than this is a warning; 0s means no limit."`
	Crit unit.Duration `yaml:"crit" doc:"Longer than this is critical; 0s means no limit."`
}

// SlotLimits bound replication slots.
type SlotLimits struct {
	Warn unit.Size `yaml:"warn" doc:"More retained write-ahead log than this is a warning; 0 means no limit."`
	Crit unit.Size `yaml:"crit" doc:"More retained write-ahead log than this is critical; 0 means no limit."`
}

// CacheLimits bound the share of blocks that are found in memory.
type CacheLimits struct {
	Warn      unit.Share `yaml:"warn" doc:"A smaller share of blocks found in the server's own memory is reported; 0 means no limit."`
	MinBlocks int64      `yaml:"min_blocks" doc:"With fewer blocks asked for there is nothing to judge."`
}

// CheckpointLimits bound checkpoints that the amount of writing forced.
type CheckpointLimits struct {
	Forced unit.Share `yaml:"forced" doc:"A larger share of checkpoints that did not wait for their time is reported; 0 means no limit."`
	Min    int64      `yaml:"min" doc:"With fewer checkpoints there is nothing to judge."`
}

// Pool is a connection pool of a program.
type Pool struct {
	Name        string `yaml:"name" required:"true" doc:"What people call the pool." example:"api"`
	Size        int    `yaml:"size" required:"true" doc:"How many connections one process may open, overflow included." example:"20"`
	Processes   int    `yaml:"processes" doc:"How many processes have such a pool; 1 without it." example:"4"`
	Application string `yaml:"application" doc:"The application_name of its connections: with it the real number is compared." example:"ghosteam-api"`
}

func defaults() Options {
	const day = unit.Duration(24 * time.Hour)
	return Options{
		MaxFindings: 20, Timeout: unit.Duration(30 * time.Second), LockTimeout: unit.Duration(2 * time.Second),
		Indexes:     IndexLimits{MinSize: 1 << 20, MinAge: 7 * day},
		Bloat:       BloatLimits{Share: 50, Size: 64 << 20},
		Statements:  StatementLimits{Top: 10, Mean: unit.Duration(time.Second), MinCalls: 20, Slower: 2, Floor: unit.Duration(50 * time.Millisecond)},
		Connections: Limits{Warn: 80, Crit: 95},
		Transactions: TransactionLimits{
			Idle:     DurationLimits{Warn: unit.Duration(5 * time.Minute), Crit: unit.Duration(time.Hour)},
			Open:     DurationLimits{Warn: unit.Duration(2 * time.Hour), Crit: day},
			Prepared: DurationLimits{Warn: unit.Duration(10 * time.Minute), Crit: day},
			Unused:   7 * day,
		},
		Keys:        Limits{Warn: 75, Crit: 90},
		Wraparound:  Limits{Warn: 40, Crit: 75},
		Slots:       SlotLimits{Warn: 1 << 30, Crit: 16 << 30},
		Cache:       CacheLimits{Warn: 90, MinBlocks: 100_000},
		Checkpoints: CheckpointLimits{Forced: 50, Min: 20},
		Temporary:   10 << 30,
		NeverRows:   1000,
		Reserve:     10,
	}
}

// The bounds of options.
const (
	mostFindings = 40
	mostTop      = 100
)

// Validate judges the options.
func (o *Options) Validate() error {
	var errs []error
	known := checkNames()
	for field, names := range map[string][]string{"checks": o.Checks, "skip": o.Skip} {
		for i, name := range names {
			if !slices.Contains(known, name) {
				errs = append(errs, unknownCheck(fmt.Sprintf("%s[%d]", field, i), name))
			}
		}
	}
	for name, severity := range o.Severity {
		if !slices.Contains(known, name) {
			errs = append(errs, unknownCheck("severity."+name, name))
		}
		if severity.Rank() < 0 {
			errs = append(errs, jobs.Fieldf("severity."+name, "%q is not a severity: use info, warning or critical", string(severity)))
		}
	}
	for i, pattern := range o.Ignore {
		if strings.Trim(pattern, "*: ") == "" {
			errs = append(errs, jobs.Fieldf(fmt.Sprintf("ignore[%d]", i), "the pattern %q would leave out everything", pattern))
		}
	}
	if o.MaxFindings < 1 || o.MaxFindings > mostFindings {
		errs = append(errs, jobs.Fieldf("max_findings", "%d is out of range: use 1 to %d", o.MaxFindings, mostFindings))
	}
	for name, d := range map[string]unit.Duration{"statement_timeout": o.Timeout, "lock_timeout": o.LockTimeout} {
		if d.Std() < time.Millisecond {
			errs = append(errs, jobs.Fieldf(name, "%s is too short: use at least 1ms", d))
		}
	}
	if s := o.Statements; s.Top < 1 || s.Top > mostTop {
		errs = append(errs, jobs.Fieldf("statements.top", "%d is out of range: use 1 to %d", s.Top, mostTop))
	}
	if s := o.Statements.Slower; s != 0 && s <= 1 {
		errs = append(errs, jobs.Fieldf("statements.slower", "%v would report every statement: use 0, or more than 1", s))
	}
	return errors.Join(append(append(errs, o.contradictions()...), o.pools()...)...)
}

// contradictions finds limits of which the lower one is the worse.
func (o *Options) contradictions() []error {
	var errs []error
	order := func(field string, warn, crit float64, wt, ct fmt.Stringer) {
		if warn > 0 && crit > 0 && warn > crit {
			errs = append(errs, jobs.Fieldf(field+".warn", "%s is above crit, %s", wt, ct))
		}
	}
	for field, l := range map[string]Limits{"connections": o.Connections, "keys": o.Keys, "wraparound": o.Wraparound} {
		order(field, float64(l.Warn), float64(l.Crit), l.Warn, l.Crit)
	}
	t := o.Transactions
	for field, l := range map[string]DurationLimits{"idle": t.Idle, "open": t.Open, "prepared": t.Prepared} {
		order("transactions."+field, float64(l.Warn), float64(l.Crit), l.Warn, l.Crit)
	}
	order("slots", float64(o.Slots.Warn), float64(o.Slots.Crit), o.Slots.Warn, o.Slots.Crit)
	for field, n := range map[string]int64{
		"indexes.max_scans": o.Indexes.MaxScans, "statements.min_calls": o.Statements.MinCalls, "cache.min_blocks": o.Cache.MinBlocks,
		"checkpoints.min": o.Checkpoints.Min, "never_analyzed_rows": o.NeverRows, "reserve": int64(o.Reserve),
	} {
		if n < 0 {
			errs = append(errs, jobs.Fieldf(field, "%d is negative", n))
		}
	}
	return errs
}

// pools judges the list of pools.
func (o *Options) pools() []error {
	var errs []error
	names := map[string]bool{}
	for i, p := range o.Pools {
		at := fmt.Sprintf("pools[%d]", i)
		switch {
		case p.Name == "":
			errs = append(errs, jobs.Fieldf(at+".name", "it is required"))
		case names[p.Name]:
			errs = append(errs, jobs.Fieldf(at+".name", "two pools are called %q", p.Name))
		}
		names[p.Name] = true
		if p.Size < 1 {
			errs = append(errs, jobs.Fieldf(at+".size", "%d is not a number of connections", p.Size))
		}
		if p.Processes < 0 {
			errs = append(errs, jobs.Fieldf(at+".processes", "%d is negative", p.Processes))
		}
	}
	return errs
}

func unknownCheck(field, name string) error {
	return &jobs.FieldError{Field: field, Why: fmt.Sprintf("there is no check %q", name), Hint: "use one of " + strings.Join(checkNames(), ", ")}
}

// total is how many connections the pool may open.
func (p Pool) total() int { return p.Size * max(p.Processes, 1) }
