package service_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestOpen_StateDir: whoever executes runs makes the folder of the node's state
// where there is none, for its user alone, also when the ledger is elsewhere.
func TestOpen_StateDir(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, ledger string }{
		{"server", ledgertest.Postgres(t).Reveal()},
		{"file", "sqlite:var/upkeep.db"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "place") // a socket has room for a short path only
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			path := filepath.Join(dir, "upkeep.yaml")
			text := fmt.Sprintf("project: test\nnode: a\nledger: %q\nweb: off\nworkflows:\n  w:\n    jobs: {a: {kind: script, with: {run: \"true\"}}}\n", tt.ledger)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := configs.Load(path, catalog())
			if err != nil {
				t.Fatal(err)
			}
			e, err := service.Open(t.Context(), service.Options{Config: cfg, Version: "test", Command: "upkeep run"})
			if err != nil {
				t.Fatal(err)
			}
			// There is nothing to do; it answers on its socket until it knows that.
			if err := e.WorkThrough(t.Context()); err != nil {
				t.Errorf("WorkThrough: %v", err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			info, err := os.Stat(service.StateDir(cfg))
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v, want 0700", service.StateDir(cfg), info, err)
			}
		})
	}
}
