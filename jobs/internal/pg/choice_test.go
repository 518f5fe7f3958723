package pg_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// TestDatabases: each wrong name is told with its place, also that of a server
// of another kind.
func TestDatabases(t *testing.T) {
	t.Parallel()
	deps := pgtest.Deps(t, "postgres://h/d", map[string]string{"other": "postgres://h/e"})
	deps.AddDatabase(jobs.Database{Name: "cache", Kind: jobs.Redis})
	all, errs := pg.Databases(deps, "other", pgtest.Main)
	if len(all) != 2 || len(errs) > 0 {
		t.Errorf("%v, %v", all, errs)
	}
	if diff := cmp.Diff([]string{"database/other", "database/main"}, pg.LockKeys(all...)); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct {
		names []string
		want  string
	}{
		{[]string{"nobody"}, "database"},
		{[]string{"main", "nobody"}, "database[1]"},
		{[]string{"cache", "main"}, "database[0]"},
	} {
		all, errs := pg.Databases(deps, tt.names...)
		if len(errs) != 1 || len(all) != len(tt.names)-1 {
			t.Fatalf("%q: %v, %v", tt.names, all, errs)
		}
		if field, ok := errors.AsType[*jobs.FieldError](errs[0]); !ok || field.Field != tt.want {
			t.Errorf("%q: %v", tt.names, errs[0])
		}
	}
}

func TestListed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a": "a", "a b": "a, b", "a b c d e": "a, b, c, d, e", "a b c d e f": "a, b, c, d and 2 more databases",
	} {
		if got := pg.Listed(strings.Fields(text)); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	if pg.Patterns(nil) != nil {
		t.Error("no pattern matches something")
	}
	re := pg.Patterns([]string{"a.*", "x"})
	for text, want := range map[string]bool{"a.b": true, "a.": true, "ab": false, "x": true, "xx": false, "a.\nb": true, "x\n": false} {
		if re.MatchString(text) != want {
			t.Errorf("%q matches: %v", text, !want)
		}
	}
}
