package jobs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

const (
	// longestName bounds names of values and outputs, in bytes.
	longestName = 250
	// longestLine bounds what OneLine returns, in characters.
	longestLine = 300
	// headlines is how many findings a Headline repeats.
	headlines = 3
)

// ValidName tells whether name may name a value or an output of a Result:
// [a-z0-9][a-z0-9_.-]*, at most 250 bytes.
func ValidName(name string) bool { return valid(name, "_.-") }

// ValidSeries tells whether name may name a series of samples: as ValidName, and
// with @ before the name of a node.
func ValidSeries(name string) bool { return valid(name, "_.-@") }

// ValidFindingID tells whether id may identify a Finding:
// [a-z0-9][a-z0-9_.:/-]*, at most 250 bytes.
func ValidFindingID(id string) bool { return valid(id, "_.:/-") }

func valid(name, marks string) bool {
	if name == "" || len(name) > longestName || !alphanumeric(name[0]) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !alphanumeric(c) && strings.IndexByte(marks, c) < 0 {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// NameFrom makes text, such as a path or a label of somebody else's, legal as
// the name of a value: letters become small, all else that is not allowed
// becomes "_", and marks in front go. It returns "" when nothing is left.
func NameFrom(text string) string { return legal(text, "_.-") }

// FindingIDFrom makes text legal as the ID of a finding, as NameFrom does; it
// keeps colons and slashes too.
func FindingIDFrom(text string) string { return legal(text, "_.:/-") }

func legal(text, marks string) string {
	text = strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c < 0x80 && (alphanumeric(byte(c)) || strings.ContainsRune(marks, c)):
			return c
		}
		return '_'
	}, text)
	text = strings.TrimLeft(text, marks)
	return text[:min(len(text), longestName)]
}

// OneLine makes foreign text fit for one line of a person's terminal or mail:
// valid, without control characters, runs of white space as one space, no full
// stop at the end, at most 300 characters. What may hold a secret goes through
// Env.OneLine instead, because a secret that was cut is not recognized.
func OneLine(text string) string {
	text = strings.Map(func(c rune) rune {
		if !unicode.IsGraphic(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
	text = strings.TrimRight(strings.Join(strings.Fields(text), " "), ".")
	if runes := []rune(text); len(runes) > longestLine {
		text = string(runes[:longestLine-1]) + "…"
	}
	return text
}

// Headline is what a summary says when there is something to say: the texts of
// the three worst findings, worst first, and how many more there are. Findings
// below Warning do not count; it returns "" when no other is there.
func Headline(findings []Finding) string {
	bad := slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Severity.Rank() < Warning.Rank() })
	slices.SortStableFunc(bad, func(a, b Finding) int { return cmp.Compare(b.Severity.Rank(), a.Severity.Rank()) })
	var texts []string
	for _, f := range bad[:min(len(bad), headlines)] {
		texts = append(texts, f.Text)
	}
	if more := len(bad) - headlines; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}
