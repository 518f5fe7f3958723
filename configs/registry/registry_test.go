package registry_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/registry"
)

func named(s string) string { return s }

func TestRegistry(t *testing.T) {
	t.Parallel()
	r := registry.New("words", named, "c", "a", "b")
	if diff := cmp.Diff([]string{"a", "b", "c"}, r.All()); diff != "" {
		t.Errorf("All (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, r.Names()); diff != "" {
		t.Errorf("Names (-want +got):\n%s", diff)
	}
	for _, name := range []string{"a", "b", "c"} {
		if got, ok := r.Lookup(name); !ok || got != name {
			t.Errorf("Lookup(%q) = %q, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "aa", "d"} {
		if got, ok := r.Lookup(name); ok {
			t.Errorf("Lookup(%q) = %q", name, got)
		}
	}
	var empty registry.Registry[string]
	if _, ok := empty.Lookup("a"); ok || len(empty.All())+len(empty.Names()) > 0 {
		t.Error("the zero registry holds something")
	}
}

func TestNew_Panics(t *testing.T) {
	t.Parallel()
	for name, members := range map[string][]string{"nameless": {"a", ""}, "twice": {"a", "b", "a"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("New did not panic")
				}
			}()
			registry.New("words", named, members...)
		})
	}
}

type options struct{ List []string }

func (o *options) Validate() error {
	if len(o.List) == 0 {
		return errors.New("empty")
	}
	return nil
}

func TestOptions(t *testing.T) {
	t.Parallel()
	fresh := registry.Fresh(options{List: []string{"a"}})
	first, ok := fresh().(*options)
	if !ok {
		t.Fatalf("Fresh makes a %T", fresh())
	}
	first.List[0] = "changed"
	if second, _ := fresh().(*options); second.List[0] != "a" {
		t.Error("a copy changed the defaults")
	}
	if err := registry.Validate(first); err != nil {
		t.Error(err)
	}
	if err := registry.Validate(&options{}); err == nil {
		t.Error("Validate was not asked")
	}
	if err := registry.Validate(&struct{}{}); err != nil {
		t.Error(err)
	}
	if got := registry.Summary("one\n\ntwo"); got != "one" {
		t.Errorf("Summary = %q", got)
	}
}
