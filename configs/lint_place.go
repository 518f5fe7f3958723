package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
)

// lintPlace looks for something that no node can run: a ledger that is a file
// has one node, and that is this one.
func (l *loader) lintPlace(n *source.Node, place source.Pos, path, so string, r RunsOn) {
	c := l.config
	if c.Ledger.Dialect != "sqlite" || r.Fits(c.Labels) {
		return
	}
	has := "which has none"
	if len(c.Labels) > 0 {
		has = "which has " + strings.Join(c.Labels, ", ")
	}
	hint := ""
	if near := problem.Nearest(r.Label, c.Labels); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else {
		hint = fmt.Sprintf("write labels: [%s] at the top, or let several nodes share a ledger: postgres://...", r.Label)
	}
	l.warn(at(n, "runs_on", place), "no-node", path, fmt.Sprintf("%s: it asks for the label %s, and the ledger is a file, which only this node uses, %s", so, r.Label, has), hint)
}

// Unserved says which workflows and checks none of these nodes may run, because
// none carries the label they ask for: one text for each such label, in the order
// of the file, such as "label db: workflow backup, check lag". nodes are the
// labels of each node that belongs to the system, there or away; without nodes
// nothing is said.
func (c *Config) Unserved(nodes [][]string) []string {
	if len(nodes) == 0 {
		return nil
	}
	var labels []string
	askers := map[string][]string{}
	look := func(r RunsOn, who string) {
		if slices.ContainsFunc(nodes, r.Fits) {
			return
		}
		if askers[r.Label] == nil {
			labels = append(labels, r.Label)
		}
		askers[r.Label] = append(askers[r.Label], who)
	}
	for _, w := range c.Workflows {
		look(w.RunsOn, "workflow "+w.Name)
	}
	for _, check := range c.Checks {
		look(check.RunsOn, "check "+check.Name)
	}
	for i, label := range labels {
		labels[i] = "label " + label + ": " + strings.Join(askers[label], ", ")
	}
	return labels
}
