package browsertest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chromedp/chromedp"
)

// finding is what axe-core says about a page
// (https://github.com/dequelabs/axe-core/blob/develop/doc/API.md#results-object).
type finding struct {
	ID, Impact, Help string
	Nodes            []struct {
		Target         []any
		FailureSummary string
	}
}

// Accessible fails the test when axe-core finds something serious or critical
// about the page. With rules only these are looked at.
func (tab *Tab) Accessible(rules ...string) {
	tab.t.Helper()
	for _, f := range tab.serious(rules...) {
		var where []string
		for _, n := range f.Nodes[:min(len(f.Nodes), 5)] {
			where = append(where, fmt.Sprintf("  %v: %s", n.Target, strings.ReplaceAll(n.FailureSummary, "\n", " ")))
		}
		tab.t.Errorf("%s: %s: %s (%s, %d places)\n%s", tab.Path(), f.Impact, f.Help, f.ID, len(f.Nodes), strings.Join(where, "\n"))
	}
}

// Serious are the rules by which axe-core finds something serious or critical
// about the page.
func (tab *Tab) Serious() []string {
	tab.t.Helper()
	var ids []string
	for _, f := range tab.serious() {
		ids = append(ids, f.ID)
	}
	return ids
}

func (tab *Tab) serious(rules ...string) []finding {
	tab.t.Helper()
	return slices.DeleteFunc(tab.examine(rules...), func(f finding) bool { return f.Impact != "serious" && f.Impact != "critical" })
}

// examine returns all that axe-core finds.
func (tab *Tab) examine(rules ...string) []finding {
	tab.t.Helper()
	if !Eval[bool](tab, "typeof axe !== 'undefined'") {
		path := filepath.Join(moduleRoot(tab.t), ".bin", "axe.min.js")
		source, err := os.ReadFile(path)
		if err != nil {
			tab.t.Fatalf("there is no axe-core: %v; scripts/dev/vendor.sh tools fetches it", err)
		}
		run(tab, "load axe-core", chromedp.Evaluate[chromedp.Void](string(source)+"\n;undefined"))
	}
	only := ""
	if len(rules) > 0 {
		only = fmt.Sprintf(", runOnly: {type: 'rule', values: ['%s']}", strings.Join(rules, "','"))
	}
	return run(tab, "examine the page", chromedp.Evaluate[[]finding](
		"axe.run(document, {resultTypes: ['violations']"+only+"}).then(r => r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map(n => ({target: n.target, failureSummary: n.failureSummary}))})))",
		chromedp.EvalAwaitPromise))
}
