package pgvacuum

import (
	"regexp"
	"slices"
	"strings"
)

// pattern chooses tables by name.
type pattern struct {
	text string
	// full tells that the schema is part of it.
	full bool
	re   *regexp.Regexp
}

func newPattern(text string) pattern {
	quoted := regexp.QuoteMeta(text)
	quoted = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(quoted)
	return pattern{text: text, full: strings.Contains(text, "."), re: regexp.MustCompile(`(?s)\A` + quoted + `\z`)}
}

func (p pattern) match(schema, name string) bool {
	if p.full {
		name = schema + "." + name
	}
	return p.re.MatchString(name)
}

type patterns []pattern

func newPatterns(texts []string) patterns {
	var out patterns
	for _, text := range texts {
		out = append(out, newPattern(text))
	}
	return out
}

func (ps patterns) match(schema, name string) bool {
	return slices.ContainsFunc(ps, func(p pattern) bool { return p.match(schema, name) })
}

// without returns the texts of the patterns that match none of the tables.
func (ps patterns) without(tables []table) []string {
	var out []string
	for _, p := range ps {
		if !slices.ContainsFunc(tables, func(t table) bool { return p.match(t.Schema, t.Name) }) {
			out = append(out, p.text)
		}
	}
	return out
}
