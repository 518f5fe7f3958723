package local_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object/local"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	store, err := local.Open("local", local.Options{Path: unit.Path(dir)})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range store.Probe(t.Context()) {
		names = append(names, p.Name)
		if p.Err != nil {
			t.Errorf("%s: %v", p.Name, p.Err)
		}
	}
	want := []string{"connect", "put", "head", "get", "list", "conditional put", "delete", "space"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("tried (-want +got):\n%s", diff)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	// Another user could exchange what it holds.
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if probes := store.Probe(t.Context()); len(probes) != 1 || probes[0].Err == nil {
		t.Errorf("below a directory open to all: %+v", probes)
	}
}
