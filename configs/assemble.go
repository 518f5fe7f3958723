package configs

import (
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
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
	for i := range l.w.checks {
		l.checkFrame(&l.w.checks[i])
		l.w.checks[i].Value.fillDefaults()
		l.w.buildCheck(l.d, &l.w.checks[i])
	}
	for _, name := range l.w.checkNames() {
		item, _ := l.w.check(name)
		f := item.Value
		l.config.Checks = append(l.config.Checks, Check{
			Name: name, Kind: f.Kind, Every: f.Every.Std(), FailAfter: f.FailAfter, OKAfter: f.OKAfter, Impact: f.Impact, Timeout: f.Timeout.Std(),
		})
	}
}

// fillDefaults completes what a check leaves out.
func (f *checkField) fillDefaults() {
	if f.Every == 0 {
		f.Every = unit.Duration(defaultEvery)
	}
	if f.FailAfter == 0 {
		f.FailAfter = defaultFailAfter
	}
	if f.OKAfter == 0 {
		f.OKAfter = defaultOKAfter
	}
	if f.Impact == "" {
		f.Impact = defaultImpact
	}
}

// checkFrame checks the numbers of a check.
func (l *loader) checkFrame(item *decode.Item[checkField]) {
	f := item.Value
	report := func(key, message string) {
		l.d.Report(at(item.Node, key, item.At), "bad-value", "checks."+item.Name+"."+key, message, "")
	}
	given := func(key string) bool {
		e, ok := item.Node.Get(key)
		return ok && e.Value.Kind == source.Scalar
	}
	if given("every") && (f.Every.Std() < shortestEvery || f.Every.Std()%shortestEvery != 0) {
		report("every", "every must be a whole number of seconds, at least 1s")
	}
	if given("timeout") && f.Timeout <= 0 {
		report("timeout", "timeout must be above 0")
	}
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
