package configs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs"
	kinds "github.com/ghosteam/upkeep/jobs/all"
)

func TestLoad_LimitsOfChecks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "upkeep.yaml")
	if err := os.WriteFile(path, []byte(`
checks:
  machine: {kind: system, with: {cpu: {warn: 70%, crit: 90%}, memory: {warn: 80%, crit: 100%}, swap: {warn: 100%, crit: 100%}}}
  page: {kind: http, with: {url: "http://127.0.0.1:1/", latency: {warn: 200ms}}}
  web: {kind: certificate, with: {certificates: [{name: web, file: /etc/web.pem}], warn: 20%, crit: 10%}}
  backup: {kind: heartbeat, every: 1d}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(path, configs.Catalog{Kinds: kinds.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	limits := map[string]map[string]configs.Limit{}
	for _, c := range cfg.Checks {
		limits[c.Name] = map[string]configs.Limit{}
		for _, l := range c.Limits {
			limits[c.Name][l.Value] = l
		}
	}
	want := func(warn, crit float64) (l configs.Limit) {
		if warn > 0 {
			l.Warn = &warn
		}
		if crit > 0 {
			l.Crit = &crit
		}
		return l
	}
	got := limits["machine"]
	for name, w := range map[string]configs.Limit{"cpu_percent": want(70, 90), "memory_percent": want(80, 0), "disk_percent": want(80, 95)} {
		w.Value = name
		if diff := cmp.Diff(w, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, ok := got["swap_percent"]; ok {
		t.Error("limits that nothing breaks are listed")
	}
	w := want(0.2, 0)
	w.Value = "total_seconds"
	if diff := cmp.Diff(map[string]configs.Limit{"total_seconds": w}, limits["page"]); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
	w = want(20, 10)
	w.Value, w.Below = "lifetime_percent", true
	if diff := cmp.Diff(map[string]configs.Limit{"lifetime_percent": w}, limits["web"]); diff != "" {
		t.Errorf("web (-want +got):\n%s", diff)
	}
	if len(limits["backup"]) > 0 {
		t.Errorf("a heartbeat has limits: %v", limits["backup"])
	}
}
