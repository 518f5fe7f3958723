package configs

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
)

// frameKey is a line at the top of a configuration that Locate can do without
// the rest: a key with its value on the same line.
var frameKey = regexp.MustCompile(`(?m)^(ledger|root|node|timezone):[ \t]+\S.*$`)

// Locate reads of a configuration only where its ledger is: the keys ledger,
// root, node and timezone of the file at path. It serves those who have to
// reach a daemon whose configuration file was broken after it had started, so
// it looks for these keys line by line when the file is not even YAML. The
// Config has nothing else. The error is that of Load.
func Locate(path string, catalog Catalog) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the configuration %s: %w", path, err)
	}
	l := &loader{catalog: catalog.withDefaults(), config: &Config{Path: absolute}, d: &decode.Decoder{}}
	content, err := l.catalog.ReadFile(absolute)
	if err != nil {
		l.readFile(path, absolute)
		return nil, l.finish()
	}
	_, root, _ := source.Read(path, content)
	if root == nil || root.Kind != source.Map {
		salvaged := strings.Join(frameKey.FindAllString(string(content), -1), "\n")
		if _, root, _ = source.Read(path, []byte(salvaged+"\n")); root == nil || root.Kind != source.Map {
			root = &source.Node{Kind: source.Map}
		}
	}
	kept := *root
	kept.Entries = slices.DeleteFunc(slices.Clone(root.Entries), func(e source.Entry) bool {
		return !slices.Contains([]string{"ledger", "root", "node", "timezone"}, e.Key)
	})
	l.frame(&kept)
	problems := slices.DeleteFunc(l.finish(), func(p Problem) bool { return p.Rule == "missing-key" })
	if problems.Err() != nil && l.config.Ledger.Dialect == "" {
		return nil, problems
	}
	return l.config, nil
}
