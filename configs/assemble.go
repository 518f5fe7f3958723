package configs

import (
	"strings"
)

// world checks the stores, databases and checks.
func (l *loader) world() {
	l.w = &world{
		catalog: l.catalog, root: l.config.Root, ledger: l.config.Ledger.Path,
		stores: l.file.Stores, databases: l.file.Databases, checks: l.file.Checks, channels: l.file.Channels, workflows: map[string][]string{},
	}
	l.config.world = l.w
	for i := range l.w.stores {
		item := &l.w.stores[i]
		l.w.openStore(l.d, item)
		l.config.Stores = append(l.config.Stores, Store{Name: item.Name, Kind: kindOf(item.Value.node)})
	}
	for i := range l.w.databases {
		item := &l.w.databases[i]
		l.config.Databases = append(l.config.Databases, Database{Name: item.Name, Kind: item.Value.Kind})
	}
	l.resources()
	l.checks()
}

// workflows builds all workflows. Their names must be known before the first
// job asks for the history of another.
func (l *loader) workflows() {
	l.config.byName = make(map[string]*Workflow, len(l.file.Workflows))
	for _, item := range l.file.Workflows {
		jobs, _ := item.Value.node.Get("jobs")
		l.w.workflows[item.Name] = jobs.Value.Keys()
	}
	for _, item := range l.file.Workflows {
		path := "workflows." + item.Name
		b := &draft{world: l.w, d: l.d, zone: l.config.Timezone, history: l.file.History, path: path, node: item.Value.node, at: item.At}
		w := b.build(item.Name)
		l.config.Workflows = append(l.config.Workflows, w)
		l.config.byName[item.Name] = w
		l.drafts = append(l.drafts, b)
	}
	for _, literal := range l.d.Literals {
		if strings.HasPrefix(literal.Path, "workflows.") {
			l.d.Report(literal.At, "literal-secret", literal.Path, "a secret stands in the file itself, and every run keeps the text of its workflow",
				"put it into a file or a variable and write ${file:PATH} or ${env:NAME}")
		}
	}
}
