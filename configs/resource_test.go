package configs_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs"
)

func TestLoad_Resources(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
databases: {cache: {kind: redis, url: "redis://localhost"}}
resources:
  db-heavy: 2
  database/main: 3
  gpu: {in: cache}
  tape: {limit: 2, in: cache}
workflows: {a: {jobs: {s: {kind: script, locks: [db-heavy], with: {run: [x]}}}}}
`, nil)
	want := []configs.Resource{
		{Name: "db-heavy", Limit: 2},
		{Name: "database/main", Limit: 3},
		{Name: "gpu", Limit: 1, In: "cache"},
		{Name: "tape", Limit: 2, In: "cache"},
	}
	if diff := cmp.Diff(want, c.Resources); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
	if len(c.Warnings) > 0 {
		t.Error(c.Warnings)
	}
	for _, r := range append(want, configs.Resource{Name: "other", Limit: 1}) {
		if got := c.Resource(r.Name); got != r {
			t.Errorf("resource %s: %+v, want %+v", r.Name, got, r)
		}
	}
}
