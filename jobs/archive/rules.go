package archive

import (
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// rule is one pattern of what to leave out, or of what to save all the same.
type rule struct {
	pattern string
	save    bool // begins with "!": what it matches is saved
	dirs    bool // matches directories only
	whole   bool // is compared with the whole name, not the last segment
}

// parseRule reads a pattern as the option exclude has it.
func parseRule(pattern string) rule {
	r := rule{}
	pattern, r.save = strings.CutPrefix(pattern, "!")
	if rest, ok := strings.CutPrefix(pattern, `\!`); ok && !r.save {
		pattern = "!" + rest
	}
	pattern, r.dirs = strings.CutSuffix(pattern, "/")
	r.whole = strings.Contains(pattern, "/")
	if strings.HasSuffix(pattern, "/**") {
		pattern += "/*" // what is in the directory, not the directory itself
	}
	r.pattern = strings.TrimPrefix(pattern, "./")
	return r
}

func parseRules(patterns []string) []rule {
	rules := make([]rule, 0, len(patterns))
	for _, p := range patterns {
		rules = append(rules, parseRule(p))
	}
	return rules
}

// matches tells whether a rule is about a file. name is its name in the
// archive, disk its path on disk.
func (r rule) matches(name, disk string, dir bool) bool {
	switch {
	case r.dirs && !dir:
		return false
	case !r.whole:
		return doublestar.MatchUnvalidated(r.pattern, path.Base(name))
	case strings.HasPrefix(r.pattern, "/"):
		return doublestar.MatchUnvalidated(r.pattern, disk)
	}
	return doublestar.MatchUnvalidated(r.pattern, name)
}

// excluded tells whether a file is left out: the last rule that is about it
// decides. What lies in a directory that is left out is never asked for.
func excluded(rules []rule, name, disk string, dir bool) bool {
	for _, r := range slices.Backward(rules) {
		if r.matches(name, disk, dir) {
			return !r.save
		}
	}
	return false
}
