package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/alerts"
	alertsall "github.com/ghosteam/upkeep/alerts/all"
	"github.com/ghosteam/upkeep/jobs"
	jobsall "github.com/ghosteam/upkeep/jobs/all"
	"github.com/ghosteam/upkeep/storage/object"
	objectall "github.com/ghosteam/upkeep/storage/object/all"
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

// kindDoc is a kind as the reference shows it.
type kindDoc struct {
	name, doc string
	probe     bool
	options   []jobs.Option
}

func (e kindDoc) summary() string {
	line, _, _ := strings.Cut(e.doc, "\n")
	return line
}

// The families of kinds.
const (
	ofJobs     = "jobs"
	ofChannels = "channels"
	ofStores   = "stores"
)

func families() []string { return []string{ofJobs, ofChannels, ofStores} }

// kindsOf returns the kinds of a family, sorted by name.
func kindsOf(family string) []kindDoc {
	var out []kindDoc
	switch family {
	case ofChannels:
		for _, k := range alerts.NewRegistry(alertsall.Kinds()...).All() {
			out = append(out, kindDoc{name: k.Name, doc: k.Doc, options: jobs.DescribeOptions(k.Options())})
		}
	case ofStores:
		for _, k := range object.NewRegistry(objectall.Kinds()...).All() {
			out = append(out, kindDoc{name: k.Name, doc: k.Doc, options: jobs.DescribeOptions(k.Options())})
		}
	default:
		for _, k := range jobsall.Kinds().All() {
			out = append(out, kindDoc{name: k.Name, doc: k.Doc, probe: k.Probe, options: k.Describe()})
		}
	}
	return out
}

func newKinds(a *app) *cobra.Command {
	var markdown bool
	family := ofJobs
	cmd := &cobra.Command{
		Use:   "kinds [KIND]",
		Short: "List the kinds of job, channel or store, or explain one",
		Long: `List the kinds of job, or of channel or store, or explain one with its options. A
probe has no effects and may serve as a check.`,
		Example: "  upkeep kinds\n" +
			"  upkeep kinds prune\n" +
			"  upkeep kinds --of channels slack",
		ValidArgsFunction: func(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeKinds(family, given)
		},
		RunE: func(_ *cobra.Command, given []string) error {
			if !slices.Contains(families(), family) {
				return usagef("there are no kinds of %q: use %s", family, strings.Join(families(), ", "))
			}
			kinds := kindsOf(family)
			switch {
			case markdown:
				return writeKindsMarkdown(a.std.Out)
			case len(given) == 0:
				return a.list(listKinds(kinds))
			}
			i := slices.IndexFunc(kinds, func(k kindDoc) bool { return k.name == given[0] })
			if i < 0 {
				return a.noKind(family, given[0])
			}
			if a.format == formatTable {
				return a.explainKind(kinds[i], family)
			}
			return a.list(listOptions(kinds[i]))
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().BoolVar(&markdown, "markdown", false, "write the reference of all kinds as Markdown (docs/kinds.md)")
	cmd.Flags().StringVar(&family, "of", ofJobs, "of this `FAMILY`: jobs, channels or stores")
	completeFlag(cmd, "of", completeWords(families()))
	return cmd
}

// noKind says that there is no such kind, and where there is one.
func (a *app) noKind(family, name string) error {
	for _, other := range families() {
		if slices.ContainsFunc(kindsOf(other), func(k kindDoc) bool { return k.name == name }) {
			return notFoundf(fmt.Sprintf("it is one of %s: `upkeep kinds --of %s %s`", other, other, name), "there is no kind %q of %s", name, family)
		}
	}
	return notFoundf("`upkeep kinds` lists them", "there is no kind %q", name)
}

func completeKinds(family string, given []string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, k := range kindsOf(family) {
		if len(given) == 0 {
			names = append(names, k.name+"\t"+k.summary())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func listKinds(kinds []kindDoc) listing {
	l := listing{columns: []string{"KIND", "PROBE", "WHAT IT DOES"}}
	views := []kindView{}
	for _, k := range kinds {
		probe := ""
		if k.probe {
			probe = "yes"
		}
		l.rows = append(l.rows, []string{k.name, probe, k.summary()})
		views = append(views, viewKind(k))
	}
	l.data = views
	return l
}

func viewKind(k kindDoc) kindView {
	v := kindView{Name: k.name, Probe: k.probe, Doc: k.doc, Options: []optionView{}}
	for _, o := range k.options {
		option := optionView(o)
		if option.Enum == nil {
			option.Enum = []string{}
		}
		v.Options = append(v.Options, option)
	}
	return v
}

// listOptions makes the forms of one kind for programs.
func listOptions(k kindDoc) listing {
	l := listing{columns: []string{"OPTION", "TYPE", "DEFAULT", "REQUIRED", "ENUM", "MEANING", "EXAMPLE"}, data: viewKind(k)}
	for _, o := range k.options {
		l.rows = append(l.rows, []string{o.Path, o.Type, o.Default, strconv.FormatBool(o.Required), strings.Join(o.Enum, " "), o.Doc, o.Example})
	}
	return l
}

// explainKind writes the reference of one kind for people: the doc, and each
// option with its meaning below it.
func (a *app) explainKind(k kindDoc, family string) error {
	w := a.std.Out
	fmt.Fprintf(w, "%s\n", strings.TrimSpace(k.doc))
	p := a.painter(w)
	if len(k.options) == 0 {
		fmt.Fprintln(w, "\nIt has no options.")
		return nil
	}
	title := "Options of with:"
	if family != ofJobs {
		title = "Options:"
	}
	fmt.Fprintf(w, "\n%s\n", p.bold(title))
	for _, o := range k.options {
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
