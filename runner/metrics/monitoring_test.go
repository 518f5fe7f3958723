package metrics_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shipped is the folder with the rules and the dashboard.
const shipped = "../../docs/monitoring"

func readShipped(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(shipped, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// foreign are metrics that others expose, and words that look like metrics.
var foreign = map[string]bool{"node_textfile_mtime_seconds": true, "node_exporter": true, "model_name": true}

// named matches the metrics that a text may name.
var named = regexp.MustCompile(`\b(?:upkeep|api|system|model|node)_[a-z_]+\b|\bpredictions_total\b`)

// exposed are the names of everything that a set shows.
func exposed(t *testing.T) map[string]bool {
	t.Helper()
	s := newSet(metricsOptions())
	feed(s)
	names := map[string]bool{}
	for name := range families(t, s) {
		names[name] = true
	}
	return names
}

func known(names map[string]bool, name string) bool {
	if names[name] || foreign[name] {
		return true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok && names[stem] {
			return true
		}
	}
	return false
}

// expressions are all expressions of the dashboard.
func expressions(t *testing.T) []string {
	t.Helper()
	var tree any
	if err := json.Unmarshal([]byte(readShipped(t, "grafana.json")), &tree); err != nil {
		t.Fatal(err)
	}
	var found []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				if text, ok := inner.(string); ok && key == "expr" {
					found = append(found, text)
				}
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(tree)
	return found
}

// Every metric that the rules, the dashboard and the readme name is there.
func TestShipped_Names(t *testing.T) {
	t.Parallel()
	names := exposed(t)
	texts := map[string]string{"grafana.json": strings.Join(expressions(t), "\n")}
	for line := range strings.Lines(readShipped(t, "upkeep.rules.yml")) {
		if _, expr, ok := strings.Cut(line, "expr:"); ok {
			texts["upkeep.rules.yml"] += expr
		}
	}
	for line := range strings.Lines(readShipped(t, "upkeep.test.yml")) {
		if _, series, ok := strings.Cut(line, "series:"); ok {
			texts["upkeep.test.yml"] += series
		}
	}
	texts["README.md"] = readShipped(t, "README.md")
	for file, text := range texts {
		found := named.FindAllString(text, -1)
		if len(found) < 5 {
			t.Errorf("%s names only %d metrics: the test looks in the wrong place", file, len(found))
		}
		for _, name := range found {
			if !known(names, name) {
				t.Errorf("%s names %s, which nobody exposes", file, name)
			}
		}
	}
}

// promtool runs in the folder of what is shipped.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("promtool", args...)
	cmd.Dir = shipped
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// The rules do what their tests say, each of them.
func TestShipped_Rules(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "upkeep.rules.yml")
	promtool(t, "test", "rules", "upkeep.test.yml")
}

// Prometheus and Alertmanager take the examples of their settings. That these
// work is shown in cmd/upkeep, where both run.
func TestShipped_Settings(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "config", "prometheus.yml")
	cmd := exec.Command("amtool", "check-config", "alertmanager.yml")
	cmd.Dir = shipped
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "2 receivers") {
		t.Errorf("amtool check-config: %v\n%s", err, out)
	}
}

// Prometheus understands every expression of the dashboard.
func TestShipped_Dashboard(t *testing.T) {
	t.Parallel()
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	list := expressions(t)
	for i, expr := range list {
		fmt.Fprintf(&rules, "  - {record: panel:%d, expr: %q}\n", i, strings.ReplaceAll(expr, "$instance", ".*"))
	}
	if len(list) < 20 {
		t.Fatalf("only %d expressions", len(list))
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}
