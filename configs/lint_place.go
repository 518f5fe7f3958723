package configs

import (
	"fmt"
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
