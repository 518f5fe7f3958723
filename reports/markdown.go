package reports

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the document as Markdown with tables, as GitHub reads it.
// Charts become a line of characters.
func (d Document) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", markdown(d.Title))
	for _, line := range d.Lead {
		fmt.Fprintf(&b, "\n%s\n", markdown(line))
	}
	for _, s := range d.Sections {
		fmt.Fprintf(&b, "\n## %s\n", markdown(s.Title))
		for _, line := range s.Text {
			fmt.Fprintf(&b, "\n%s\n", markdown(line))
		}
		for i, c := range s.Charts {
			if i == 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "- %s: `%s` %s\n", markdown(c.Title), c.spark(), markdown(c.caption()))
		}
		s.Table.markdown(&b)
		for _, block := range s.Blocks {
			text := clean(block.Text, true)
			fence := fenceFor(text)
			fmt.Fprintf(&b, "\n### %s\n\n%s\n%s\n%s\n", markdown(block.Title), fence, strings.TrimRight(text, "\n"), fence)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (t Table) markdown(b *strings.Builder) {
	if len(t.Rows) == 0 {
		if t.Empty != "" {
			fmt.Fprintf(b, "\n%s\n", markdown(t.Empty))
		}
		return
	}
	b.WriteByte('\n')
	line := func(n int, text func(i int) string) {
		for i := range n {
			b.WriteString("| " + text(i) + " ")
		}
		b.WriteString("|\n")
	}
	line(len(t.Columns), func(i int) string { return markdown(t.Columns[i]) })
	line(len(t.Columns), func(int) string { return "---" })
	for _, row := range t.Rows {
		line(len(row), func(i int) string { return markdown(row[i].Text) })
	}
}

// markdown makes a text that Markdown shows as it is, in one line.
func markdown(text string) string {
	text = strings.Join(strings.Fields(clean(text, false)), " ")
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == '<':
			b.WriteString("&lt;")
			continue
		case r == '&':
			b.WriteString("&amp;")
			continue
		case strings.ContainsRune("\\`*_[]|~", r), i == 0 && strings.ContainsRune("#>+-=", r) && len(text) > 1:
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// fenceFor is a fence that does not occur in the text.
func fenceFor(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence
}
