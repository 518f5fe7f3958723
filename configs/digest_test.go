package configs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs"
)

func TestDigest(t *testing.T) {
	t.Parallel()
	const text = "databases: {main: {kind: postgres, url: \"${env:DATABASE_URL}\"}}\nworkflows: {a: {jobs: {b: {kind: backup, with: {database: main, store: s}}}}}\nstores: {s: {kind: local, path: x}}\n"
	first := mustLoad(t, text, testEnv()).Digest()
	if len(first) != 64 {
		t.Errorf("digest %q", first)
	}
	if mustLoad(t, text, map[string]string{"DATABASE_URL": "postgres:///other"}).Digest() != first {
		t.Error("a secret or the place of the file is part of the digest")
	}
	if mustLoad(t, text+"# more\n", testEnv()).Digest() == first {
		t.Error("another text has the same digest")
	}
	// What moves from one file to the next must not go unseen.
	split := func(main, more string) string {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, configs.FragmentFolder), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"upkeep.yaml": main, "conf.d/10.yaml": more} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := configs.Load(filepath.Join(dir, "upkeep.yaml"), testCatalog(nil))
		if err != nil {
			t.Fatal(err)
		}
		return c.Digest()
	}
	if split("project: x\nnode: y\n", "max_running: 3\n") == split("project: x\n", "node: y\nmax_running: 3\n") {
		t.Error("the files run together")
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	const before = `
project: x
ledger: "postgres://u:hunter2@h/d"
stores: {local: {kind: local, path: a}, gone: {kind: local, path: b}}
workflows:
  daily: {schedule: {daily: "02:30"}, jobs: {a: {kind: health}, b: {kind: health}}}
  weekly: {jobs: {a: {kind: health}}}
`
	old := mustLoad(t, before, nil)
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"nothing": {"# comment\n" + strings.ReplaceAll(before, "kind: health", `"kind":   health`), nil},
		"frame": {
			strings.NewReplacer("hunter2", "hunter3", "project: x", "max_running: 4").Replace(before),
			[]string{"changed: max_running, ledger, project"},
		},
		"names": {
			strings.NewReplacer("weekly:", "monthly:", "gone:", "new:", "path: a", "path: c").Replace(before),
			[]string{"stores added: new", "stores removed: gone", "store local changed: path", "workflows added: monthly", "workflows removed: weekly"},
		},
		"workflow": {
			strings.NewReplacer("02:30", "03:30", "b: {kind: health}", "b: {kind: health, timeout: 1m}, c: {kind: health}").Replace(before),
			[]string{"workflow daily changed: schedule, jobs.b, jobs.c"},
		},
		"job gone": {strings.Replace(before, ", b: {kind: health}", "", 1), []string{"workflow daily changed: jobs.b"}},
		"order":    {strings.Replace(before, "a: {kind: health}, b: {kind: health}", "b: {kind: health}, a: {kind: health}", 1), []string{"workflow daily changed: order"}},
		"emptied":  {"project: x\nledger: \"postgres://u:hunter2@h/d\"\n", []string{"stores removed: local, gone", "workflows removed: daily, weekly"}},
	} {
		now := mustLoad(t, tc.text, nil)
		if diff := cmp.Diff(tc.want, now.Changes(old)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if strings.Contains(fmt.Sprint(now.Changes(old), old.Changes(now)), "hunter") {
			t.Errorf("%s: the words show a secret", name)
		}
	}
}

func TestChanges_AreFew(t *testing.T) {
	t.Parallel()
	many := func(kind string) *configs.Config {
		var b strings.Builder
		b.WriteString("workflows:\n")
		for i := range 50 {
			fmt.Fprintf(&b, "  w%d: {jobs: {a: {kind: %s}}}\n", i, kind)
		}
		return mustLoad(t, b.String(), nil)
	}
	want := []string{"workflows changed: w0, w1, w2, w3, w4, w5, w6, w7, w8, w9 and 40 more"}
	if diff := cmp.Diff(want, many("health").Changes(many("history"))); diff != "" {
		t.Error(diff)
	}
}
