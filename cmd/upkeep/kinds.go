package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
)

// kindView is the JSON form of a kind.
type kindView struct {
	Name    string       `json:"name"`
	Probe   bool         `json:"probe"`
	Doc     string       `json:"doc"`
	Options []optionView `json:"options"`
}

// optionView is the JSON form of an option.
type optionView struct {
	Path     string   `json:"path"`
	Type     string   `json:"type"`
	Default  string   `json:"default"`
	Required bool     `json:"required"`
	Enum     []string `json:"enum"`
	Doc      string   `json:"doc"`
	Example  string   `json:"example"`
}

func newKinds(a *app) *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:   "kinds [KIND]",
		Short: "List the kinds of job, or explain one with its options",
		Long: `List the kinds of job, or explain one with its options. A probe has no effects and
may serve as a check.`,
		Example: "  upkeep kinds\n" +
			"  upkeep kinds prune",
		ValidArgsFunction: completeKinds,
		RunE: func(_ *cobra.Command, given []string) error {
			registry := jobsall.Kinds()
			switch {
			case markdown:
				return writeKindsMarkdown(a.std.Out, registry.All())
			case len(given) == 0:
				return a.list(listKinds(registry.All()))
			}
			kind, ok := registry.Lookup(given[0])
			if !ok {
				return notFoundf("`upkeep kinds` lists them", "there is no kind %q", given[0])
			}
			if a.format == formatTable {
				return a.explainKind(kind)
			}
			return a.list(listOptions(kind))
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().BoolVar(&markdown, "markdown", false, "write the reference of all kinds as Markdown (docs/kinds.md)")
	return cmd
}

func completeKinds(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, k := range jobsall.Kinds().All() {
		if len(given) == 0 {
			names = append(names, k.Name+"\t"+k.Summary())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func listKinds(kinds []jobs.Kind) listing {
	l := listing{columns: []string{"KIND", "PROBE", "WHAT IT DOES"}}
	views := []kindView{}
	for _, k := range kinds {
		probe := ""
		if k.Probe {
			probe = "yes"
		}
		l.rows = append(l.rows, []string{k.Name, probe, k.Summary()})
		views = append(views, viewKind(k))
	}
	l.data = views
	return l
}

func viewKind(k jobs.Kind) kindView {
	v := kindView{Name: k.Name, Probe: k.Probe, Doc: k.Doc, Options: []optionView{}}
	for _, o := range k.Describe() {
		option := optionView(o)
		if option.Enum == nil {
			option.Enum = []string{}
		}
		v.Options = append(v.Options, option)
	}
	return v
}

// listOptions makes the forms of one kind for programs.
func listOptions(k jobs.Kind) listing {
	l := listing{columns: []string{"OPTION", "TYPE", "DEFAULT", "REQUIRED", "ENUM", "MEANING", "EXAMPLE"}, data: viewKind(k)}
	for _, o := range k.Describe() {
		l.rows = append(l.rows, []string{o.Path, o.Type, o.Default, strconv.FormatBool(o.Required), strings.Join(o.Enum, " "), o.Doc, o.Example})
	}
	return l
}

// explainKind writes the reference of one kind for people: the doc, and each
// option with its meaning below it.
func (a *app) explainKind(k jobs.Kind) error {
	w := a.std.Out
	fmt.Fprintf(w, "%s\n", strings.TrimSpace(k.Doc))
	p := a.painter(w)
	options := k.Describe()
	if len(options) == 0 {
		fmt.Fprintln(w, "\nIt has no options.")
		return nil
	}
	fmt.Fprintf(w, "\n%s\n", p.bold("Options of with:"))
	for _, o := range options {
		about := o.Type
		if len(o.Enum) > 0 {
			about = strings.Join(o.Enum, " | ")
		}
		switch {
		case o.Required:
			about += ", required"
		case o.Default != "":
			about += ", default " + o.Default
		}
		fmt.Fprintf(w, "\n  %s  %s\n", p.bold(o.Path), p.faint(about))
		meaning := o.Doc
		if o.Example != "" {
			meaning += " Example: " + o.Example
		}
		for _, line := range wrap(meaning, 80) {
			fmt.Fprintf(w, "      %s\n", line)
		}
	}
	return nil
}

// writeKindsMarkdown writes docs/kinds.md.
func writeKindsMarkdown(w io.Writer, kinds []jobs.Kind) error {
	var b strings.Builder
	b.WriteString("<!-- Written by `make generate` from the option structs; do not edit. -->\n# Kinds of job\n\n")
	b.WriteString("`upkeep kinds KIND` prints the same. A *probe* has no effects and may serve as a check.\n\n")
	b.WriteString("| kind | probe | what it does |\n|---|---|---|\n")
	for _, k := range kinds {
		probe := ""
		if k.Probe {
			probe = "yes"
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", k.Name, k.Name, probe, cell(k.Summary()))
	}
	for _, k := range kinds {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", k.Name, strings.TrimSpace(k.Doc))
		options := k.Describe()
		if len(options) == 0 {
			continue
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
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.Path, typ, def, doc)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the reference of kinds: %w", err)
	}
	return nil
}

// cell makes text fit into a cell of a Markdown table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`)
}
