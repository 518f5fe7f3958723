package pgvacuum_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgvacuum"
)

// fields lists the options that an error names, in its order.
func fields(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []string
		for _, e := range joined.Unwrap() {
			out = append(out, fields(e)...)
		}
		return out
	}
	if f, ok := err.(*jobs.FieldError); ok { //nolint:errorlint // the tree itself is walked
		return []string{f.Field}
	}
	return []string{err.Error()}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	rails := pgvacuum.Full{Tables: []string{"queue"}, MaxSize: 1 << 30, MinGain: 30, Volume: "/", Window: "02:00-04:00"}
	for label, tt := range map[string]struct {
		change func(o *pgvacuum.Options)
		want   []string
	}{
		"defaults":     {func(*pgvacuum.Options) {}, nil},
		"no database":  {func(o *pgvacuum.Options) { o.Database = nil }, []string{"database"}},
		"left out":     {func(o *pgvacuum.Options) { o.ExcludeDatabases = []string{"x"} }, []string{"exclude_databases"}},
		"words":        {func(o *pgvacuum.Options) { o.Mode, o.IndexCleanup = "full", "never" }, []string{"mode", "index_cleanup"}},
		"due":          {func(o *pgvacuum.Options) { o.Due = 0 }, []string{"due"}},
		"patterns":     {func(o *pgvacuum.Options) { o.Tables, o.ExcludeTables = []string{"a", " "}, []string{""} }, []string{"tables[1]", "exclude_tables[0]"}},
		"waits":        {func(o *pgvacuum.Options) { o.LockTimeout = 0 }, []string{"lock_timeout"}},
		"effort":       {func(o *pgvacuum.Options) { o.Parallel, o.BufferUsageLimit, o.MaintenanceMem = 2000, 1, 1 }, []string{"parallel", "buffer_usage_limit", "maintenance_work_mem"}},
		"costs":        {func(o *pgvacuum.Options) { o.CostDelay, o.CostLimit = unit.Duration(1e9), -1 }, []string{"cost_delay", "cost_limit"}},
		"rails":        {func(o *pgvacuum.Options) { o.Full = rails }, nil},
		"no rails":     {func(o *pgvacuum.Options) { o.Full = pgvacuum.Full{Tables: []string{"queue"}} }, []string{"full.max_size", "full.min_gain", "full.volume", "full.window"}},
		"wrong window": {func(o *pgvacuum.Options) { o.Full = rails; o.Full.Window = "always" }, []string{"full.window"}},
		"wrong mode":   {func(o *pgvacuum.Options) { o.Full, o.Mode = rails, "freeze" }, []string{"full.tables"}},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			o := *jobstest.Options[pgvacuum.Options](t, pgvacuum.Kind().Options())
			o.Database = unit.Names{"main"}
			tt.change(&o)
			if diff := cmp.Diff(tt.want, fields(o.Validate())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWrongNames: a database that is not configured is an error of its option.
func TestWrongNames(t *testing.T) {
	t.Parallel()
	o := *jobstest.Options[pgvacuum.Options](t, pgvacuum.Kind().Options())
	o.Database = unit.Names{"main", "other"}
	deps := jobstest.NewDeps(t)
	deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres"})
	_, err := pgvacuum.New(o, deps)
	if diff := cmp.Diff([]string{"database[1]"}, fields(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.Database = unit.Names{"main"}
	job, err := pgvacuum.New(o, deps)
	if err != nil {
		t.Fatal(err)
	}
	if exclusive, ok := job.(jobs.Exclusive); !ok || cmp.Diff([]string{"database/main"}, exclusive.LockKeys()) != "" {
		t.Error("the job does not hold the lock of its database")
	}
}
