package configs

import (
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/expand"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// world is what jobs may refer to: the stores, databases and checks of the
// configuration as they stand in the file. Their references are resolved anew
// each time somebody asks.
type world struct {
	catalog Catalog
	root    string
	// ledger is the absolute path of the ledger's file, if it is one.
	ledger    string
	stores    decode.Named[storeField]
	databases decode.Named[databaseField]
	channels  decode.Named[channelField]
	checks    decode.Named[checkField]
	// workflows are the names of the jobs of every workflow.
	workflows map[string][]string
}

// implicitCheck stands in when no check is configured.
const implicitCheck = "system"

// resolver returns a resolver of references to the environment and to files.
func (w *world) resolver() *expand.Resolver {
	return &expand.Resolver{Getenv: w.catalog.Getenv, ReadFile: w.catalog.ReadFile, Root: w.root}
}

// checkNames returns the names of all checks in the order of the file.
func (w *world) checkNames() []string {
	if len(w.checks) > 0 {
		return w.checks.Names()
	}
	if _, ok := w.catalog.Kinds.Lookup(implicitCheck); ok {
		return []string{implicitCheck}
	}
	return nil
}

// UnknownError says that the configuration has nothing of a name.
type UnknownError struct {
	// Family is "workflow", "store", "database", "check" or "channel".
	Family string
	// Name is what was asked for; Known is what there is.
	Name  string
	Known []string
}

// Error names what is missing and lists what there is.
func (e *UnknownError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("there is no %s %q: none is configured", e.Family, e.Name)
	}
	shown, more := e.Known, ""
	if len(shown) > 20 {
		shown, more = shown[:20], fmt.Sprintf(" and %d more", len(e.Known)-20)
	}
	return fmt.Sprintf("there is no %s %q: there is %s%s", e.Family, e.Name, strings.Join(shown, ", "), more)
}

// Hint proposes the name that was probably meant; it may be empty.
func (e *UnknownError) Hint() string {
	if near := problem.Nearest(e.Name, e.Known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// openDatabase decodes a database anew.
func (w *world) openDatabase(d *decode.Decoder, item *decode.Item[databaseField]) (jobs.Database, bool) {
	var field databaseField
	before := len(d.Problems.Errors())
	d.Decode(item.Node, &field, "databases."+item.Name, item.At)
	return jobs.Database{Name: item.Name, Kind: field.Kind, URL: field.URL}, len(d.Problems.Errors()) == before
}

// buildCheck makes the probe of a check.
func (w *world) buildCheck(d *decode.Decoder, item *decode.Item[checkField]) (jobs.Check, bool) {
	check, _, ok := w.probe(d, item, &scope{world: w, decoder: d, check: item.Name})
	return check, ok
}

// probe makes the probe of a check and returns its options too.
func (w *world) probe(d *decode.Decoder, item *decode.Item[checkField], deps *scope) (out jobs.Check, values any, ok bool) {
	path := "checks." + item.Name
	out = jobs.Check{Name: item.Name, Kind: item.Value.Kind, Impact: item.Value.Impact, Timeout: item.Value.Timeout.Std()}
	kind, ok := w.probeKind(item.Value.Kind)
	if !ok || !kind.Probe {
		w.refuseProbe(d, item, ok)
		return out, nil, false
	}
	o := options{values: kind.Options(), node: item.Value.With, path: path + ".with", key: item.At}
	if e, given := item.Node.Get("with"); given {
		o.key = e.At
	}
	ok = w.construct(d, o, deps, func() (err error) {
		out.Probe, err = kind.Build(o.values, deps)
		if job, ok := out.Probe.(jobs.Effectful); ok && err == nil {
			err = job.Effectful()
		}
		return err
	})
	return out, o.values, ok && out.Probe != nil
}

// refuseProbe reports a check whose kind does not exist or has effects.
func (w *world) refuseProbe(d *decode.Decoder, item *decode.Item[checkField], exists bool) {
	if item.Value.Kind == "" {
		return // its absence has been reported
	}
	at := item.At
	if e, ok := item.Node.Get("kind"); ok {
		at = e.Value.Pos
	}
	probes := []string{health.KindHeartbeat}
	for _, k := range w.catalog.Kinds.All() {
		if asProbe(k).Probe {
			probes = append(probes, k.Name)
		}
	}
	message := fmt.Sprintf("there is no kind of probe called %q", item.Value.Kind)
	if exists {
		message = fmt.Sprintf("a check must be a probe, and %q is a kind of job that changes something", item.Value.Kind)
	}
	d.Report(at, "unknown-kind", "checks."+item.Name+".kind", message, problem.DidYouMean(item.Value.Kind, probes))
}

// housed returns the folders of the stores that keep their objects in one.
func (w *world) housed() map[string]string {
	out := map[string]string{}
	for i := range w.stores {
		store, ok := w.openStore(&decode.Decoder{Resolver: w.resolver()}, &w.stores[i])
		if home, isHoused := store.(object.Housed); ok && isHoused {
			out[w.stores[i].Name] = home.Dir()
		}
	}
	return out
}

// check returns the check of that name, the implicit one included.
func (w *world) check(name string) (*decode.Item[checkField], bool) {
	if item, ok := w.checks.Lookup(name); ok {
		return item, true
	}
	if len(w.checks) == 0 && name == implicitCheck && len(w.checkNames()) > 0 {
		field := checkField{Kind: implicitCheck}
		field.fillDefaults()
		return &decode.Item[checkField]{Name: name, Node: &source.Node{Kind: source.Map}, Value: field}, true
	}
	return nil, false
}
