package reports

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed document.html
var documentHTML string

// layout is the form of a document in HTML: one file without scripts and without
// anything from elsewhere. The template escapes every text for its place.
//
//nolint:gochecknoglobals // a template is parsed once, and does not change
var layout = template.Must(template.New("document").Funcs(template.FuncMap{
	"draw":  Chart.draw,
	"plain": func(text string) string { return clean(text, false) },
	"lines": func(text string) string { return clean(text, true) },
}).Parse(documentHTML))

// HTML writes the document as one self-contained file.
func (d Document) HTML(w io.Writer) error {
	if err := layout.Execute(w, d); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
