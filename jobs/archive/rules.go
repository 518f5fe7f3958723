package archive

import (
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// rule is one pattern of what to leave out.
type rule struct {
	pattern string
	dirs    bool // matches directories only
	whole   bool // is compared with the whole name, not the last segment
}

func parseRules(patterns []string) []rule {
	rules := make([]rule, 0, len(patterns))
	for _, p := range patterns {
		r := rule{dirs: strings.HasSuffix(p, "/")}
		p = strings.TrimSuffix(p, "/")
		r.whole = strings.Contains(p, "/")
		r.pattern = strings.TrimPrefix(p, "./")
		rules = append(rules, r)
	}
	return rules
}

// excluded tells whether a file is left out. name is its name in the archive,
// disk its path on disk.
func excluded(rules []rule, name, disk string, dir bool) bool {
	for _, r := range rules {
		if r.dirs && !dir {
			continue
		}
		switch {
		case !r.whole:
			if doublestar.MatchUnvalidated(r.pattern, path.Base(name)) {
				return true
			}
		case strings.HasPrefix(r.pattern, "/"):
			if doublestar.MatchUnvalidated(r.pattern, disk) {
				return true
			}
		case doublestar.MatchUnvalidated(r.pattern, name):
			return true
		}
	}
	return false
}
