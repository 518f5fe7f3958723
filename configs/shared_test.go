package configs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ghosteam/upkeep/configs"
)

// sharedOf is the shared digest of a configuration of these files; the first is
// the one that is loaded.
func sharedOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := configs.Load(filepath.Join(dir, "upkeep.yaml"), testCatalog(nil))
	if err != nil {
		t.Fatal(err)
	}
	return c.SharedDigest()
}

func TestConfig_SharedDigest(t *testing.T) {
	t.Parallel()
	const jobs = "jobs: {a: {kind: health, with: {checks: [system]}}}\n"
	one := map[string]string{"upkeep.yaml": "node: a\nledger: sqlite:a.db\nmax_running: 2\nweb: off\n" +
		"workflows:\n  daily:\n    schedule: {daily: \"02:30\"}\n    " + jobs + "  weekly:\n    " + jobs}
	digest := sharedOf(t, one)
	if len(digest) != 64 {
		t.Fatalf("digest %q", digest)
	}
	for name, files := range map[string]map[string]string{
		"what differs per node": {"upkeep.yaml": "node: b\nledger: sqlite:elsewhere/b.db\nroot: .\nmax_running: 9\nballast: off\nweb: {listen: \"127.0.0.1:0\"}\nlog: {level: debug}\n" +
			"workflows:\n  daily:\n    schedule: {daily: \"02:30\"}\n    " + jobs + "  weekly:\n    " + jobs},
		"order, comments and layout": {"upkeep.yaml": "# ours\nworkflows:\n  weekly:\n    jobs:\n      a:\n        kind: health\n        with: {checks: [system]}\n  daily:\n    schedule: {daily: \"02:30\"} # early\n    " + jobs + "node: c\n"},
		"files": {
			"upkeep.yaml":      "workflows:\n  daily:\n    schedule: {daily: \"02:30\"}\n    " + jobs,
			"conf.d/more.yaml": "workflows:\n  weekly:\n    " + jobs,
		},
	} {
		if got := sharedOf(t, files); got != digest {
			t.Errorf("%s changes the shared digest", name)
		}
	}
	for name, text := range map[string]string{
		"another time":     "workflows:\n  daily:\n    schedule: {daily: \"02:31\"}\n    " + jobs + "  weekly:\n    " + jobs,
		"another option":   "workflows:\n  daily:\n    schedule: {daily: \"02:30\"}\n    jobs: {a: {kind: health}}\n  weekly:\n    " + jobs,
		"one less":         "workflows:\n  daily:\n    schedule: {daily: \"02:30\"}\n    " + jobs,
		"another zone":     "timezone: Asia/Tokyo\nworkflows:\n  daily:\n    schedule: {daily: \"02:30\"}\n    " + jobs + "  weekly:\n    " + jobs,
		"another database": "databases: {main: {kind: postgres, url: \"postgres://x@localhost/x\"}}\nworkflows:\n  daily:\n    schedule: {daily: \"02:30\"}\n    " + jobs + "  weekly:\n    " + jobs,
	} {
		if got := sharedOf(t, map[string]string{"upkeep.yaml": text}); got == digest {
			t.Errorf("%s leaves the shared digest as it was", name)
		}
	}
}
