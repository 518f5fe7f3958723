// Package redispurge is the kind that removes keys of a Redis database by
// pattern. It knows how to look through a database without holding it up, and
// to count before it removes. It refuses to empty a database by accident,
// clusters, replicas, and the FLUSH commands, which it never sends.
package redispurge

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/redis"
)

const doc = `Removes keys of a Redis database by pattern, in small batches that hold nobody up.

The database is looked through twice with SCAN: first the keys that match are counted, and compared with the rails; then they are removed, ` + "`batch`" + `
at a time, with UNLINK, which frees their memory in the background. No FLUSHALL and no FLUSHDB is ever sent: they take what other programs keep in the
same server (queues, sessions), and cannot be stopped half way. A run that was interrupted is simply repeated.

**What is removed** matches one of the patterns under ` + "`match`" + ` (` + "`*`" + `, ` + "`?`" + `, ` + "`[a-z]`" + `, ` + "`\\`" + ` before a literal one) and, where they are given, is of the ` + "`type`" + `,
was not used for ` + "`idle`" + ` (neither read nor written; a server with an LFU policy does not know), and has no time to live (` + "`without_ttl`" + `). A key that is used
in the moment between the look at it and its removal goes too: purge what can be made again, such as a cache.

**Rails.** More than ` + "`max_keys`" + ` matching keys, or more than ` + "`max_share`" + ` of the database, are refused before anything is removed; what appears
while the run removes does not count against them but is not removed beyond max_keys either. A pattern without a single literal character matches
everything and is refused, unless ` + "`all: true`" + ` is given together with max_keys; max_share then does not apply.
Refused are also replicas (the primary would not know), and clusters (one node has a part of the keys only).

A dry run counts, and shows the names of some keys, cut to 80 characters. Names may hold identities of sessions: ` + "`samples: 0`" + ` shows none.

Values: keys_before, keys_after, matched_keys, deleted_keys, memory_before_bytes, memory_after_bytes, freed_bytes (what the server uses less than
before; others write meanwhile).`

// Options are the options of the kind.
type Options struct {
	Database   string        `yaml:"database" required:"true" doc:"The database by its name under databases:." example:"cache"`
	Number     *int          `yaml:"number" doc:"The number of the database on its server; that of the URL without it." example:"1"`
	Match      unit.Names    `yaml:"match" required:"true" doc:"The patterns of the keys to remove." example:"['predictions:*']"`
	Type       string        `yaml:"type" enum:"string,list,set,zset,hash,stream" doc:"Only keys of this type." example:"string"`
	Idle       unit.Duration `yaml:"idle" doc:"Only keys that nobody has read or written for this long." example:"7d"`
	WithoutTTL bool          `yaml:"without_ttl" doc:"Only keys that have no time to live."`
	All        bool          `yaml:"all" doc:"Allow patterns that match everything; needs max_keys."`
	MaxKeys    int64         `yaml:"max_keys" doc:"The most keys that one run may remove; 100,000 without it." example:"1000000"`
	MaxShare   unit.Share    `yaml:"max_share" doc:"The largest share of the database's keys that one run may remove."`
	Batch      int           `yaml:"batch" doc:"How many keys are looked at and removed at once, 1 to 10,000."`
	Pause      unit.Duration `yaml:"pause" doc:"How long to wait between two batches of removals." example:"10ms"`
	Samples    int           `yaml:"samples" doc:"How many names of keys a dry run shows, at most 100."`
}

const (
	defaultMaxKeys = 100_000
	mostBatch      = 10_000
	mostSamples    = 100
	mostPause      = time.Minute
	// shownName bounds the name of a key in texts, in characters.
	shownName = 80
)

// Kind returns the kind of job.
func Kind() jobs.Kind {
	return jobs.Define("redispurge", doc, Options{MaxShare: 50, Batch: 500, Samples: 10}, build)
}

// Validate judges the options.
func (o *Options) Validate() error {
	var errs []error
	if len(o.Match) == 0 {
		errs = append(errs, jobs.Fieldf("match", "there is no pattern"))
	}
	for i, pattern := range o.Match {
		at := fmt.Sprintf("match[%d]", i)
		switch {
		case pattern == "":
			errs = append(errs, jobs.Fieldf(at, "the pattern is empty"))
		case matchesAll(pattern) && !o.All:
			errs = append(errs, &jobs.FieldError{
				Field: at, Why: fmt.Sprintf("%q matches everything in the database", pattern),
				Hint: "write what the keys begin with, or all: true together with max_keys:",
			})
		}
	}
	switch o.Type {
	case "", "string", "list", "set", "zset", "hash", "stream":
	default:
		errs = append(errs, jobs.Fieldf("type", "%q is no type of keys: use string, list, set, zset, hash or stream", o.Type))
	}
	if o.Idle > 0 && o.Idle.Std() < time.Second {
		errs = append(errs, jobs.Fieldf("idle", "%s is too short: the server counts whole seconds", o.Idle))
	}
	if o.MaxKeys < 0 || o.All && o.MaxKeys == 0 {
		errs = append(errs, jobs.Fieldf("max_keys", "say how many keys may go at most"))
	}
	if o.MaxShare <= 0 || o.MaxShare > 100 {
		errs = append(errs, jobs.Fieldf("max_share", "%s is out of range: use above 0%% to 100%%", o.MaxShare))
	}
	if o.Batch < 1 || o.Batch > mostBatch {
		errs = append(errs, jobs.Fieldf("batch", "%d is out of range: use 1 to %d", o.Batch, mostBatch))
	}
	if o.Pause.Std() > mostPause {
		errs = append(errs, jobs.Fieldf("pause", "%s is too long: use at most %s", o.Pause, mostPause))
	}
	if o.Samples < 0 || o.Samples > mostSamples {
		errs = append(errs, jobs.Fieldf("samples", "%d is out of range: use at most %d", o.Samples, mostSamples))
	}
	if o.Number != nil && *o.Number < 0 {
		errs = append(errs, jobs.Fieldf("number", "it is below 0"))
	}
	return errors.Join(errs...)
}

// matchesAll tells whether a pattern has no literal character, so that about
// anything may match it.
func matchesAll(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '*', '?':
		case '[':
			for i++; i < len(pattern) && pattern[i] != ']'; i++ {
				if pattern[i] == '\\' {
					i++
				}
			}
		default:
			return false
		}
	}
	return true
}

// Job removes keys.
type Job struct {
	options  Options
	database jobs.Database
	address  redis.Address
}

var (
	_ jobs.Job       = (*Job)(nil)
	_ jobs.Checker   = (*Job)(nil)
	_ jobs.Exclusive = (*Job)(nil)
)

func build(o Options, deps jobs.Deps) (jobs.Job, error) {
	db, err := jobs.DatabaseOf(deps, jobs.Redis, o.Database)
	if err != nil {
		return nil, &jobs.FieldError{Field: "database", Why: err.Error(), Hint: jobs.HintOf(err)}
	}
	address, err := redis.ParseAddress(db.URL)
	if err != nil {
		return nil, &jobs.FieldError{Field: "database", Why: fmt.Sprintf("%s: %s", db.Name, err)}
	}
	if o.Number != nil {
		address = address.WithDatabase(*o.Number)
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = defaultMaxKeys
	}
	return &Job{options: o, database: db, address: address}, nil
}

// LockKeys keeps other work on the same database from running at once.
func (j *Job) LockKeys() []string { return []string{"database/" + j.database.Name} }

// title names what is removed, for people.
func (j *Job) title() string {
	parts := []string{"keys like " + strings.Join(j.options.Match, ", ")}
	if j.options.Type != "" {
		parts = append(parts, "of the type "+j.options.Type)
	}
	if j.options.Idle > 0 {
		parts = append(parts, "not used for "+j.options.Idle.String())
	}
	if j.options.WithoutTTL {
		parts = append(parts, "without a time to live")
	}
	return strings.Join(parts, ", ")
}
