package river_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/queue/river"
)

func TestQueueOf(t *testing.T) {
	t.Parallel()
	got := map[runner.Target]string{}
	for _, target := range []runner.Target{
		"", "node:any", "label:any", "node:db-1", "node:db_1", "node:node-a", "node:db--1", "node:-", "node:DB-1", "node:db-1.example.com",
		"label:Größe", runner.OnNode(strings.Repeat("x", 40)), runner.OnNode(strings.Repeat("x", 41)), runner.OnLabel(strings.Repeat("x", 300)),
	} {
		got[target] = river.QueueOf(target)
	}
	want := map[runner.Target]string{
		"":                                       "any",
		"node:any":                               "node-any",
		"label:any":                              "label-any",
		"node:db-1":                              "node-db-1",
		"node:db_1":                              "node-db_1",
		"node:node-a":                            "node-node-a",
		"node:db--1":                             "",
		"node:-":                                 "",
		"node:DB-1":                              "",
		"node:db-1.example.com":                  "",
		"label:Größe":                            "",
		runner.OnNode(strings.Repeat("x", 40)):   "node-" + strings.Repeat("x", 40),
		runner.OnNode(strings.Repeat("x", 41)):   "",
		runner.OnLabel(strings.Repeat("x", 300)): "",
	}
	hashed := regexp.MustCompile(`^(node|label)-[a-z0-9]*-h-[0-9a-f]{32}$`)
	for target, name := range got {
		if want[target] == "" && hashed.MatchString(name) {
			want[target] = name
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// River takes every name, and different targets have different ones.
func TestQueueOf_Property(t *testing.T) {
	t.Parallel()
	// https://github.com/riverqueue/river, validateQueueName.
	valid := regexp.MustCompile(`^(?:[a-z0-9])+(?:[_|\-]?[a-z0-9]+)*$`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.OneOf(rapid.StringN(1, 80, 300), rapid.StringMatching(`[a-c-]{1,3}(-h-[0-9a-f]{32})?`))
		targets := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) runner.Target {
			if rapid.Bool().Draw(t, "node") {
				return runner.OnNode(names.Draw(t, "name"))
			}
			return runner.OnLabel(names.Draw(t, "label"))
		}), 2, 20, rapid.ID[runner.Target]).Draw(t, "targets")
		seen := map[string]runner.Target{}
		for _, target := range append(targets, "") {
			name := river.QueueOf(target)
			if len(name) > 64 || !valid.MatchString(name) {
				t.Fatalf("River refuses %q, the queue of %q", name, string(target))
			}
			if other, taken := seen[name]; taken {
				t.Fatalf("%q and %q have one queue %q", string(other), string(target), name)
			}
			seen[name] = target
		}
	})
}
