// Package problem says what is wrong with a configuration and where: one
// Problem per fault with its position, its line and what to write instead. It
// knows how problems read and sort, and nothing about what makes one.
package problem

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity tells errors, which stop the configuration from loading, from
// warnings about what is legal but looks like a mistake.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is one fault of a configuration.
type Problem struct {
	// Rule names the broken rule in words that stay the same between
	// versions, such as "unknown-key".
	Rule string `json:"rule"`
	// Severity is Error or Warning.
	Severity Severity `json:"severity"`
	// File is the file as it was named; Line and Col count from 1, columns in
	// characters.
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"column"`
	// Path is where in the configuration the fault is, such as
	// "workflows.daily.jobs.backup.with.store"; it may be empty.
	Path string `json:"path,omitempty"`
	// Message says what is wrong, in one line without a final full stop.
	Message string `json:"message"`
	// Hint says what to do about it; it may be empty.
	Hint string `json:"hint,omitempty"`
	// Source is the line of the file, without its end.
	Source string `json:"source,omitempty"`
}

// Problems is everything wrong with a configuration, in the order of files and
// lines. It is an error when it holds at least one Error.
type Problems []Problem

// Error renders all problems for people, each with its line and a caret.
func (ps Problems) Error() string {
	parts := make([]string, len(ps))
	for i, p := range ps {
		parts[i] = p.String()
	}
	return strings.Join(parts, "\n")
}

// Errors returns the problems of severity Error.
func (ps Problems) Errors() Problems { return ps.only(Error) }

// Warnings returns the problems of severity Warning.
func (ps Problems) Warnings() Problems { return ps.only(Warning) }

func (ps Problems) only(s Severity) Problems {
	var out Problems
	for _, p := range ps {
		if p.Severity == s {
			out = append(out, p)
		}
	}
	return out
}

// Err returns ps as an error when it holds one, and nil otherwise.
func (ps Problems) Err() error {
	if len(ps.Errors()) == 0 {
		return nil
	}
	return ps
}

// Only tells whether every Error in ps broke one of the given rules.
func (ps Problems) Only(rules ...string) bool {
	for _, p := range ps {
		if p.Severity == Error && !slices.Contains(rules, p.Rule) {
			return false
		}
	}
	return true
}

// Sorted returns ps ordered by file, line, column and message, without exact
// repetitions. Files keep the order in which they first appear.
func (ps Problems) Sorted() Problems {
	rank := map[string]int{}
	for _, p := range ps {
		if _, seen := rank[p.File]; !seen {
			rank[p.File] = len(rank)
		}
	}
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank[a.File], rank[b.File]), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Col, b.Col), strings.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(out, func(a, b Problem) bool {
		return a.File == b.File && a.Line == b.Line && a.Col == b.Col && a.Message == b.Message
	})
}

// String renders p for people: position and message, the line with a caret
// under the place, and the hint.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Position())
	b.WriteString(": ")
	if p.Severity == Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	if p.Line > 0 && strings.TrimSpace(p.Source) != "" {
		line, caret := excerpt(p.Source, p.Col)
		number := fmt.Sprintf("%5d", p.Line)
		fmt.Fprintf(&b, "\n%s | %s\n%s | %s", number, line, strings.Repeat(" ", len(number)), caret)
	}
	if p.Hint != "" {
		b.WriteString("\n      hint: ")
		b.WriteString(p.Hint)
	}
	return b.String()
}

// Position returns "file:line:col", or the file alone when the fault has no
// place in it.
func (p Problem) Position() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

const (
	excerptWidth = 110 // characters of a source line to show
	excerptLead  = 60  // of which this many may stand before the caret
)

// excerpt returns the part of line around column col that fits on a screen,
// and a line with a caret below that column.
func excerpt(line string, col int) (shown, caret string) {
	runes := []rune(line)
	at := min(max(col-1, 0), len(runes))
	from := 0
	if len(runes) > excerptWidth && at > excerptLead {
		from = min(at-excerptLead, len(runes)-excerptWidth)
	}
	to := min(from+excerptWidth, len(runes))
	var text, below strings.Builder
	if from > 0 {
		text.WriteString("…")
		below.WriteByte(' ')
	}
	for i := from; i < to; i++ {
		r := runes[i]
		if r < ' ' && r != '\t' || r == 0x7f {
			r = '�'
		}
		text.WriteRune(r)
		if i < at {
			if r != '\t' {
				r = ' '
			}
			below.WriteRune(r)
		}
	}
	if to < len(runes) {
		text.WriteString("…")
	}
	return strings.TrimRight(text.String(), " "), below.String() + "^"
}
