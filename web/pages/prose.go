package pages

import (
	"html/template"
	"strings"
)

// prose writes a text of upkeep's own words, in which commands stand between
// backticks, with these as code. Everything in it is escaped.
func prose(text string) template.HTML {
	var b strings.Builder
	parts := strings.Split(safe(text), "`")
	for i, part := range parts {
		part = template.HTMLEscapeString(part)
		switch {
		case i%2 == 0:
			b.WriteString(part)
		case i == len(parts)-1: // without an end
			b.WriteString("`" + part)
		default:
			b.WriteString("<code>" + part + "</code>")
		}
	}
	return template.HTML(b.String()) //nolint:gosec // every part is escaped
}
