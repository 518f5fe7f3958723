package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/jobs"
)

// writeKindsMarkdown writes docs/kinds.md.
func writeKindsMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("<!-- Written by `make generate` from the option structs; do not edit. -->\n# Kinds of job\n\n")
	b.WriteString("`upkeep kinds KIND` prints the same. A *probe* has no effects and may serve as a check. [Channels](#kinds-of-channel) and [stores](#kinds-of-store) follow.\n\n")
	b.WriteString("| kind | probe | what it does |\n|---|---|---|\n")
	for _, k := range kindsOf(ofJobs) {
		probe := ""
		if k.probe {
			probe = "yes"
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", k.name, k.name, probe, cell(k.summary()))
	}
	writeKinds(&b, kindsOf(ofJobs))
	b.WriteString("\n# Kinds of channel\n\n`upkeep kinds --of channels KIND` prints the same. Besides its own, every channel has these options:\n")
	writeOptions(&b, jobs.DescribeOptions(new(alerts.DefaultTerms())))
	writeKinds(&b, kindsOf(ofChannels))
	b.WriteString("\n# Kinds of store\n\n`upkeep kinds --of stores KIND` prints the same.\n")
	writeKinds(&b, kindsOf(ofStores))
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the reference of kinds: %w", err)
	}
	return nil
}

func writeKinds(b *strings.Builder, kinds []kindDoc) {
	for _, k := range kinds {
		fmt.Fprintf(b, "\n## %s\n\n%s\n", k.name, strings.TrimSpace(k.doc))
		writeOptions(b, k.options)
	}
}

func writeOptions(b *strings.Builder, options []jobs.Option) {
	if len(options) == 0 {
		return
	}
	b.WriteString("\n| option | type | default | meaning |\n|---|---|---|---|\n")
	for _, o := range options {
		def := ""
		if o.Default != "" {
			def = "`" + cell(o.Default) + "`"
		}
		if o.Required {
			def = "**required**"
		}
		typ := o.Type
		if len(o.Enum) > 0 {
			typ = "`" + strings.Join(o.Enum, "` `") + "`"
		}
		doc := cell(o.Doc)
		if o.Example != "" {
			doc += " Example: `" + cell(o.Example) + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", o.Path, typ, def, doc)
	}
}

// cell makes text fit into a cell of a Markdown table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`)
}
