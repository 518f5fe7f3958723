package prune

import (
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// pattern is one entry of match or exclude, prepared for many comparisons.
type pattern struct {
	text string
	// path tells that it is compared with the path below root, not the name.
	path bool
	// suffix is what it amounts to when it is a star and plain text.
	suffix string
}

func compile(texts []string) []pattern {
	out := make([]pattern, len(texts))
	for i, text := range texts {
		out[i] = pattern{text: text, path: strings.Contains(text, "/")}
		if rest, ok := strings.CutPrefix(text, "*"); ok && rest != "" && !strings.ContainsAny(rest, `*?[]{}\/!^`) {
			out[i].suffix = rest
		}
	}
	return out
}

func (p *pattern) matches(folder, name string) bool {
	if p.suffix != "" {
		return strings.HasSuffix(name, p.suffix)
	}
	against := name
	if p.path {
		against = below(folder, name)
	}
	ok, err := doublestar.Match(p.text, against)
	return ok && err == nil
}

// matching returns the first pattern that matches, or -1.
func matching(patterns []pattern, folder, name string) int {
	return slices.IndexFunc(patterns, func(p pattern) bool { return p.matches(folder, name) })
}

// dateIn reads the last date in a name, as 2026-11-23 or 20261123 with no
// further digit around it: midnight UTC.
func dateIn(name string) (time.Time, bool) {
	digit := func(i int) bool { return i >= 0 && i < len(name) && name[i] >= '0' && name[i] <= '9' }
	for at := len(name) - len("20060102"); at >= 0; at-- {
		if !digit(at) || digit(at-1) {
			continue
		}
		for _, layout := range []string{"2006-01-02", "20060102"} {
			end := at + len(layout)
			if end > len(name) || digit(end) {
				continue
			}
			if date, err := time.Parse(layout, name[at:end]); err == nil {
				return date, true
			}
		}
	}
	return time.Time{}, false
}
