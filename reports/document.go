package reports

import (
	"strings"
)

// A Document is a report before it has a form: Markdown and HTML say the same.
// All of its texts are plain; the forms escape them.
type Document struct {
	Title string
	// Lead is what the document is about, in one or more lines.
	Lead     []string
	Sections []Section
}

// Section is a part of a document. Each of its parts may be missing.
type Section struct {
	Title  string
	Text   []string
	Charts []Chart
	Table  Table
	// Blocks are texts that keep their lines.
	Blocks []Block
}

// Table is rows under columns. Without rows Empty is said.
type Table struct {
	Columns []string
	Rows    [][]Cell
	Empty   string
}

// Cell is a text with a mood.
type Cell struct {
	Text string
	Mood Mood
}

// Mood says how good a thing is; HTML paints it.
type Mood string

// The moods.
const (
	Plain Mood = ""
	Good  Mood = "good"
	Bad   Mood = "bad"
	Doubt Mood = "doubt"
)

// Block is a text that keeps its lines.
type Block struct{ Title, Text string }

// cells makes a row of plain texts.
func cells(texts ...string) []Cell {
	row := make([]Cell, len(texts))
	for i, text := range texts {
		row[i].Text = text
	}
	return row
}

// add appends a row.
func (t *Table) add(row ...Cell) { t.Rows = append(t.Rows, row) }

// mood is how good a verdict is.
func (v Verdict) mood() Mood {
	switch v {
	case Met:
		return Good
	case Missed:
		return Bad
	case Insufficient:
		return Doubt
	default:
		return Plain
	}
}

// clean leaves out of a text what no page can show: control characters, but for
// line feeds where lines are kept, and what turns the direction of a text.
func clean(text string, lines bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' && lines, r == '\t' && lines:
			return r
		case r < 0x20, r == 0x7f, r >= 0x80 && r < 0xa0, r == 0x2028, r == 0x2029:
			return ' '
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0xfeff:
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
}
