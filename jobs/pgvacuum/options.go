package pgvacuum

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// The limits of the server's own settings
// (postgresql.org/docs/current/runtime-config-resource.html).
const (
	mostParallel  = 1024
	mostCost      = 10_000
	mostCostDelay = 100 * time.Millisecond
	leastBuffers  = 128 << 10
	mostBuffers   = 16 << 30
	leastMemory   = 1 << 20
)

// Validate judges the options.
func (o *Options) Validate() error {
	var errs []error
	if len(o.Database) == 0 {
		errs = append(errs, jobs.Fieldf("database", "no database is given"))
	}
	if len(o.ExcludeDatabases) > 0 && !o.AllDatabases {
		errs = append(errs, jobs.Fieldf("exclude_databases", "only all_databases can leave some out"))
	}
	if !slices.Contains([]string{modeVacuum, modeAnalyze, modeFreeze}, o.Mode) {
		errs = append(errs, jobs.Fieldf("mode", "%q is not a mode: use vacuum, analyze or freeze", o.Mode))
	}
	if !slices.Contains([]string{"auto", "on", "off"}, o.IndexCleanup) {
		errs = append(errs, jobs.Fieldf("index_cleanup", "%q is neither auto nor on nor off", o.IndexCleanup))
	}
	if o.Due <= 0 {
		errs = append(errs, jobs.Fieldf("due", "%s would make every table due: use more than 0%%", o.Due))
	}
	for _, list := range []struct {
		name     string
		patterns []string
	}{{"tables", o.Tables}, {"exclude_tables", o.ExcludeTables}, {"full.tables", o.Full.Tables}, {"exclude_databases", o.ExcludeDatabases}} {
		for i, text := range list.patterns {
			if strings.TrimSpace(text) == "" {
				errs = append(errs, jobs.Fieldf(fmt.Sprintf("%s[%d]", list.name, i), "the pattern is empty"))
			}
		}
	}
	return errors.Join(append(errs, o.validateEffort(), o.validateFull())...)
}

// validateEffort judges what a statement may take.
func (o *Options) validateEffort() error {
	var errs []error
	if o.LockTimeout < unit.Duration(time.Millisecond) {
		errs = append(errs, jobs.Fieldf("lock_timeout", "%s would wait forever: use at least 1ms", o.LockTimeout))
	}
	if o.Parallel < -1 || o.Parallel > mostParallel {
		errs = append(errs, jobs.Fieldf("parallel", "%d is out of range: use -1 to %d", o.Parallel, mostParallel))
	}
	if b := o.BufferUsageLimit; b != 0 && (b < leastBuffers || b > mostBuffers) {
		errs = append(errs, jobs.Fieldf("buffer_usage_limit", "%s is out of range: use 0, or 128KiB to 16GiB", b))
	}
	if m := o.MaintenanceMem; m != 0 && (m < leastMemory || m > 2<<40) {
		errs = append(errs, jobs.Fieldf("maintenance_work_mem", "%s is out of range: use 0, or 1MiB to 2TiB", m))
	}
	if o.CostDelay.Std() > mostCostDelay {
		errs = append(errs, jobs.Fieldf("cost_delay", "%s is too long: use at most 100ms", o.CostDelay))
	}
	if o.CostLimit < 0 || o.CostLimit > mostCost {
		errs = append(errs, jobs.Fieldf("cost_limit", "%d is out of range: use 0 to %d", o.CostLimit, mostCost))
	}
	return errors.Join(errs...)
}

// validateFull wants all rails when tables may be rewritten.
func (o *Options) validateFull() error {
	if len(o.Full.Tables) == 0 {
		return nil
	}
	var errs []error
	if o.Mode != modeVacuum {
		errs = append(errs, jobs.Fieldf("full.tables", "mode %s rewrites no tables", o.Mode))
	}
	if o.Full.MaxSize <= 0 {
		errs = append(errs, jobs.Fieldf("full.max_size", "tables are only rewritten up to a size"))
	}
	if o.Full.MinGain <= 0 {
		errs = append(errs, jobs.Fieldf("full.min_gain", "tables are only rewritten when that makes them smaller"))
	}
	if o.Full.Volume == "" {
		errs = append(errs, &jobs.FieldError{
			Field: "full.volume", Why: "a rewrite needs room for a copy of the table, which only this path can show",
			Hint: "name a path on the file system of the server's tables, such as /var/lib/postgresql",
		})
	}
	if o.Full.Window == "" {
		errs = append(errs, jobs.Fieldf("full.window", "everybody is locked out of a table that is rewritten: say when that may be, such as 02:00-04:00"))
	} else if _, err := parseWindow(o.Full.Window); err != nil {
		errs = append(errs, jobs.Fieldf("full.window", "%s", err))
	}
	return errors.Join(errs...)
}
