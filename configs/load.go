package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/expand"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
)

// FragmentFolder is the folder beside a configuration file whose *.yaml files
// belong to it too.
const FragmentFolder = "conf.d"

// extension begins the keys at the top that mean nothing by themselves: a place
// for anchors that several jobs share.
const extension = "x-"

// Load reads the configuration file at path, and the files in conf.d beside
// it. Everything that is wrong is in the error, which is of type Problems then
// and holds the warnings too. Config is not nil beside an error when the only
// errors are of the rule RuleUnset: it is enough to read the ledger, not to
// run.
func Load(path string, catalog Catalog) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the configuration %s: %w", path, err)
	}
	l := &loader{catalog: catalog.withDefaults(), config: &Config{Path: absolute}, d: &decode.Decoder{}}
	root := l.read(path)
	if root == nil {
		return nil, l.finish()
	}
	l.frame(root)
	l.log()
	l.metrics()
	l.web()
	l.world()
	l.channels()
	l.vigil()
	l.workflows()
	l.kpis()
	l.alarm()
	if l.d.Problems.Err() == nil {
		l.lint()
	}
	problems := l.finish()
	if problems.Err() == nil {
		l.config.Warnings = problems
		return l.config, nil
	}
	if problems.Only(RuleUnset) && l.config.Ledger.Dialect != "" {
		return l.config, problems
	}
	return nil, problems
}

// loader is one call of Load.
type loader struct {
	catalog Catalog
	config  *Config
	// d collects problems and secrets; its resolver is that of the frame.
	d      *decode.Decoder
	node   *source.Node
	file   frame
	w      *world
	drafts []*draft
	// texts are the contents of the files, in their order.
	texts [][]byte
}

// finish returns all problems in order and without secrets.
func (l *loader) finish() Problems {
	l.config.secrets = distinct(l.d.Secrets)
	hidden := l.config.secrets
	for _, literal := range l.d.Literals {
		hidden = append(hidden, literal.Text)
	}
	for _, c := range l.config.Checks {
		if c.Public && secretSlug(c.Slug) { // it stands for an identity
			hidden = append(hidden, c.Slug)
		}
	}
	l.config.hidden = hidden
	return scrub(l.d.Problems, hidden).Sorted()
}

// read reads all files and merges them. It returns nil when one of them cannot
// be understood.
func (l *loader) read(path string) *source.Node {
	main := l.readFile(path, l.config.Path)
	readable := main != nil
	var roots []*source.Node
	if readable {
		roots = append(roots, main)
	}
	for _, fragment := range l.fragments(path) {
		if node := l.readFile(fragment, filepath.Join(filepath.Dir(l.config.Path), FragmentFolder, filepath.Base(fragment))); node != nil {
			roots = append(roots, node)
		} else {
			readable = false
		}
	}
	if len(roots) == 0 {
		return nil
	}
	merged := l.merge(roots)
	if !readable {
		return nil // what refers to the missing part would look wrong
	}
	return merged
}

func (l *loader) readFile(shown, path string) *source.Node {
	l.config.Files = append(l.config.Files, path)
	content, err := l.catalog.ReadFile(path)
	if err != nil {
		message, hint := "the configuration cannot be read: "+reason(err), ""
		if errors.Is(err, fs.ErrNotExist) {
			message, hint = "the configuration file does not exist", "name another with -c FILE, or write one with upkeep init"
		}
		l.d.Report(source.Pos{File: &source.File{Name: shown}}, "no-file", "", message, hint)
		return nil
	}
	l.texts = append(l.texts, content)
	file, node, problems := source.Read(shown, content)
	l.d.Problems = append(l.d.Problems, problems...)
	if node == nil {
		return nil
	}
	if node.Kind != source.Map && (node.Kind != source.Null || len(l.config.Files) == 1) {
		message := "the configuration must be a map of keys such as ledger: and workflows:"
		if node.Kind == source.Null {
			message = "the configuration is empty"
		}
		l.d.Report(source.Pos{File: file, Line: node.Pos.Line, Col: node.Pos.Col}, "wrong-type", "", message, "upkeep init writes one to start from")
		return nil
	}
	return node
}

// fragments returns the files in conf.d in the order of their names.
func (l *loader) fragments(path string) []string {
	entries, err := os.ReadDir(filepath.Join(filepath.Dir(l.config.Path), FragmentFolder))
	folder := filepath.Join(filepath.Dir(path), FragmentFolder)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.d.Report(source.Pos{File: &source.File{Name: folder}}, "no-file", "", "the folder cannot be read: "+reason(err), "")
		}
		return nil
	}
	var out []string
	for _, entry := range entries {
		name := filepath.Join(folder, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "."):
		case strings.HasSuffix(entry.Name(), ".yaml"):
			out = append(out, name)
		case strings.HasSuffix(entry.Name(), ".yml"):
			l.d.Warn(source.Pos{File: &source.File{Name: name}}, "ignored-file", "", "the file is ignored: only *.yaml belongs to the configuration", "rename it")
		}
	}
	return out
}

// merge puts the files together: maps of names by name, everything else once.
func (l *loader) merge(roots []*source.Node) *source.Node {
	out := &source.Node{Kind: source.Map, Pos: roots[0].Pos}
	place := map[string]int{}
	for _, root := range roots {
		for _, e := range root.Entries {
			if strings.HasPrefix(e.Key, extension) {
				continue
			}
			i, known := place[e.Key]
			switch {
			case !known:
				place[e.Key] = len(out.Entries)
				out.Entries = append(out.Entries, e)
			case named(e.Key):
				out.Entries[i].Value = l.mergeNames(e.Key, out.Entries[i].Value, e.Value)
			default:
				l.d.Report(e.At, "duplicate-key", e.Key, fmt.Sprintf("the key %q is given twice; the first one stands in %s", e.Key, placeOf(out.Entries[i].At)), "remove one of them")
			}
		}
	}
	return out
}

func (l *loader) mergeNames(family string, a, b *source.Node) *source.Node {
	if a.Kind != source.Map || b.Kind != source.Map {
		if a.Kind == source.Null {
			return b
		}
		if b.Kind != source.Null && a.Kind == source.Map {
			return b // the decoder reports the wrong type
		}
		return a
	}
	out := *a
	out.Entries = slices.Clone(a.Entries)
	for _, e := range b.Entries {
		if first, twice := a.Get(e.Key); twice {
			l.d.Report(e.At, "duplicate-key", family+"."+e.Key, fmt.Sprintf("%s.%s is defined twice; the first one stands in %s", family, e.Key, placeOf(first.At)), "rename or remove one of them")
			continue
		}
		out.Entries = append(out.Entries, e)
	}
	return &out
}

func placeOf(p source.Pos) string { return fmt.Sprintf("%s:%d", p.File.Name, p.Line) }

// frame decodes what stands at the top.
func (l *loader) frame(root *source.Node) {
	l.node, l.config.node = root, root
	l.config.digest, l.texts = digestOf(l.texts), nil
	dir := filepath.Dir(l.config.Path)
	resolver := &expand.Resolver{Getenv: l.catalog.Getenv, ReadFile: l.catalog.ReadFile, Root: dir}
	l.config.Root = dir
	if e, given := root.Get("root"); given {
		// Before all else, because references to files begin there.
		var path unit.Path
		early := &decode.Decoder{Resolver: resolver}
		early.Decode(e.Value, &path, "root", e.At)
		if path != "" {
			l.config.Root = filepath.Clean(filepath.Join(dir, string(path)))
			if filepath.IsAbs(string(path)) {
				l.config.Root = filepath.Clean(string(path))
			}
		}
		resolver.Root = l.config.Root
	}
	l.d.Resolver = resolver
	l.file = defaults()
	l.file.Ledger = ledgerField{Ledger{Dialect: "sqlite", Path: "var/upkeep.db"}}
	if e, given := root.Get("ledger"); given && e.Value.Kind != source.Null {
		l.file.Ledger = ledgerField{} // a ledger that cannot be read must not become the default
	}
	l.d.Decode(root, &l.file, "", root.Pos)
	l.d.Secrets = append(l.d.Secrets, secret.Collect(l.file.Ledger)...)
	l.file.Ledger.absolute(l.config.Root)
	l.identity()
	l.bounds()
}

// identity takes who and where this node is.
func (l *loader) identity() {
	c := l.config
	c.Labels = l.file.Labels
	c.Project, c.Node, c.Ledger, c.Timezone = l.file.Project, l.file.Node, l.file.Ledger.Ledger, l.file.Timezone.Location
	if c.Timezone == nil {
		c.Timezone = time.Local
	}
	if c.Project == "" {
		c.Project = filepath.Base(c.Root)
	}
	if c.Node == "" {
		name, err := l.catalog.Hostname()
		if err != nil || name == "" {
			l.d.Report(l.node.Pos, "missing-key", "node", "this machine has no name", "give the node one: node: db-1")
			return
		}
		c.Node = name
	}
	for key, text := range map[string]string{"project": l.file.Project, "node": l.file.Node} {
		if len(text) > 253 || strings.ContainsAny(text, "\n\r\t\x00") || strings.TrimSpace(text) != text {
			l.d.Report(at(l.node, key, l.node.Pos), "bad-name", key, key+" must be one line of at most 253 bytes without blanks around it", "")
		}
	}
}

func (l *loader) bounds() {
	c := l.config
	c.MaxRunning, c.KillGrace, c.DrainTimeout = l.file.MaxRunning, l.file.KillGrace.Std(), l.file.DrainTimeout.Std()
	c.Ballast, c.History = int64(l.file.Ballast), l.file.History.limits()
	l.lease()
	if c.KillGrace > longestKillGrace {
		l.d.Report(at(l.node, "kill_grace", l.node.Pos), "bad-value", "kill_grace", "kill_grace must be at most 1h", "")
	}
	if c.DrainTimeout > longestDrainTimeout {
		l.d.Report(at(l.node, "drain_timeout", l.node.Pos), "bad-value", "drain_timeout", "drain_timeout must be at most 24h", "")
	}
	if e, given := l.node.Get("history"); given {
		l.file.History.check(l.d, e, "history")
	}
}
