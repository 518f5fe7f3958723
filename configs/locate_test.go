package configs_test

import (
	"path/filepath"
	"testing"

	"github.com/ghosteam/upkeep/configs"
)

// However broken the rest is, the ledger is found where Load would find it.
func TestLocate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want string // the ledger's path below the folder of the file
	}{
		"a good file":             {"ledger: sqlite:state/a.db\nworkflows: {w: {jobs: {j: {kind: health}}}}\n", "state/a.db"},
		"the default":             {"workflows: {w: {jobs: {j: {kind: nope}}}}\n", "var/upkeep.db"},
		"errors elsewhere":        {"ledger: sqlite:state/a.db\nworkflow: {}\n", "state/a.db"},
		"another root":            {"root: below\nledger: sqlite:a.db\nchannels: 7\n", "below/a.db"},
		"not YAML any more":       {"ledger: sqlite:state/a.db\nworkflows:\n  w: {jobs: [\n", "state/a.db"},
		"not YAML, quoted":        {"workflows:\n\t- x\nledger: \"sqlite:state/a.db\" # here\n", "state/a.db"},
		"not YAML, not a word":    {"}{\n", "var/upkeep.db"},
		"indented is not the key": {"workflows:\n  ledger: sqlite:wrong.db\n ]\n", "var/upkeep.db"},
		"empty":                   {"", "var/upkeep.db"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, tt.text)
			cfg, err := configs.Locate(path, testCatalog(nil))
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(filepath.Dir(path), tt.want); cfg.Ledger.Path != want || cfg.Ledger.Dialect != "sqlite" {
				t.Errorf("the ledger is %s %s, want sqlite %s", cfg.Ledger.Dialect, cfg.Ledger.Path, want)
			}
		})
	}
}

func TestLocate_Unknown(t *testing.T) {
	t.Parallel()
	if cfg, err := configs.Locate(filepath.Join(t.TempDir(), "none.yaml"), testCatalog(nil)); err == nil {
		t.Errorf("a file that is not there: %+v", cfg)
	}
	if cfg, err := configs.Locate(write(t, "ledger: \"${env:LEDGER}\"\n"), testCatalog(nil)); err == nil {
		t.Errorf("a ledger that cannot be resolved: %+v", cfg.Ledger)
	}
}
