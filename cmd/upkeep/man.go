package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan writes the manual pages of all commands; packages are made with it.
func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "man FOLDER",
		Short:  "Write the manual pages of all commands",
		Hidden: true,
		Long: `Write the manual pages of all commands to FOLDER, one file for each, in the format
of man(7). FOLDER must exist.`,
		Example: "  upkeep man /usr/local/share/man/man1",
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.writeManuals(cmd.Root(), given[0])
		},
	}
}

// writeManuals writes the page of cmd and of all commands below it.
func (a *app) writeManuals(cmd *cobra.Command, folder string) error {
	name := manualName(cmd) + ".1"
	if err := os.WriteFile(filepath.Join(folder, name), []byte(a.manual(cmd)), 0o644); err != nil { //nolint:gosec // manual pages are for everybody
		if inner, ok := errors.AsType[*fs.PathError](err); ok {
			err = inner.Err
		}
		return hintIfNone(fmt.Errorf("write %s in %s: %w", name, folder, err), "the folder must exist and be writable for this user")
	}
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			if err := a.writeManuals(c, folder); err != nil {
				return err
			}
		}
	}
	return nil
}

func manualName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// roff builds one page.
type roff struct{ strings.Builder }

// line writes one request with arguments that may be any text.
func (r *roff) line(request string, arguments ...string) {
	r.WriteString(request)
	for _, argument := range arguments {
		fmt.Fprintf(r, ` "%s"`, strings.ReplaceAll(escapeRoff(argument), `"`, `\(dq`))
	}
	r.WriteString("\n")
}

// escapeRoff keeps text from being read as requests and escapes, and its
// hyphens from being typeset.
func escapeRoff(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`).Replace(text)
}

// text writes lines as they are; what stands in backticks becomes bold.
func (r *roff) text(text string) {
	for line := range strings.Lines(text) {
		line = escapeRoff(strings.TrimRight(line, "\n"))
		if strings.HasPrefix(line, ".") {
			line = `\&` + line
		}
		for i, part := range strings.Split(line, "`") {
			switch {
			case i%2 == 1:
				r.WriteString(`\fB` + part)
			case i > 0:
				r.WriteString(`\fR` + part)
			default:
				r.WriteString(part)
			}
		}
		r.WriteString("\n")
	}
}

// prose writes paragraphs; indented lines stay as they are.
func (r *roff) prose(text string) {
	kept := false
	for line := range strings.Lines(text) {
		switch indented := strings.HasPrefix(line, "  "); {
		case strings.TrimSpace(line) == "" && !kept:
			r.line(".PP")
			continue
		case indented && !kept:
			r.line(".nf")
			kept = true
		case !indented && kept && strings.TrimSpace(line) != "":
			r.line(".fi")
			kept = false
		}
		r.text(line)
	}
	if kept {
		r.line(".fi")
	}
}

// verbatim writes lines in which nothing is filled.
func (r *roff) verbatim(text string) {
	r.line(".nf")
	r.text(strings.TrimRight(text, "\n") + "\n")
	r.line(".fi")
}

// manual is the page of one command.
func (a *app) manual(cmd *cobra.Command) string {
	r := new(roff)
	r.line(".TH", strings.ToUpper(manualName(cmd)), "1", manualDate(), "upkeep "+version, "upkeep")
	r.line(".SH", "NAME")
	r.text(manualName(cmd) + " - " + lowerFirst(cmd.Short))
	r.line(".SH", "SYNOPSIS")
	synopsis := cmd.CommandPath() + strings.TrimPrefix(cmd.Use, cmd.Name())
	if !cmd.HasParent() {
		synopsis = cmd.Name() + " [-c FILE] COMMAND [ARGUMENTS] [FLAGS]"
	} else if cmd.HasAvailableLocalFlags() {
		synopsis += " [FLAGS]"
	}
	r.line(".B", synopsis)
	r.line(".SH", "DESCRIPTION")
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	r.prose(about)
	a.manualCommands(r, cmd)
	manualFlags(r, "OPTIONS", cmd.LocalFlags())
	if cmd.HasParent() {
		manualFlags(r, "OPTIONS OF EVERY COMMAND", cmd.InheritedFlags())
	}
	r.line(".SH", "EXIT STATUS")
	r.verbatim(exitHelp)
	if cmd.Example != "" {
		r.line(".SH", "EXAMPLES")
		r.verbatim(cmd.Example)
	}
	if !cmd.HasParent() {
		r.line(".SH", "FILES")
		r.line(".TP")
		r.line(".I", "./upkeep.yaml, /etc/upkeep/upkeep.yaml")
		r.text("The configuration, the first that exists, unless -c or UPKEEP_CONFIG names one.")
	}
	manualSeeAlso(r, cmd)
	return r.String()
}

// manualCommands lists the commands below cmd.
func (a *app) manualCommands(r *roff, cmd *cobra.Command) {
	groups := []group{{"commands", cmd.Commands()}}
	if !cmd.HasParent() {
		groups = a.groups
	}
	for _, g := range groups {
		visible := slices.DeleteFunc(slices.Clone(g.commands), func(c *cobra.Command) bool { return c.Hidden })
		if len(visible) == 0 {
			continue
		}
		r.line(".SH", strings.ToUpper(g.title))
		for _, c := range visible {
			r.line(".TP")
			r.line(".B", c.Use)
			r.text(c.Short + ". See " + manualName(c) + "(1).")
		}
	}
}

func manualFlags(r *roff, title string, flags *pflag.FlagSet) {
	begun := false
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if !begun {
			r.line(".SH", title)
			begun = true
		}
		name, usage := pflag.UnquoteUsage(f)
		option := `\fB` + escapeRoff("--"+f.Name) + `\fR`
		if f.Shorthand != "" {
			option = `\fB` + escapeRoff("-"+f.Shorthand) + `\fR, ` + option
		}
		if name != "" {
			option += ` \fI` + escapeRoff(name) + `\fR`
		}
		r.line(".TP")
		r.WriteString(option + "\n")
		if value := f.DefValue; value != "" && value != "false" && value != "0" && value != "[]" {
			usage += " (default " + value + ")"
		}
		r.text(usage)
	})
}

func manualSeeAlso(r *roff, cmd *cobra.Command) {
	var pages []string
	if cmd.HasParent() {
		pages = append(pages, manualName(cmd.Parent()))
		for _, c := range cmd.Parent().Commands() {
			if c != cmd && !c.Hidden && cmd.Parent().HasParent() {
				pages = append(pages, manualName(c))
			}
		}
	}
	for _, c := range cmd.Commands() {
		if !c.Hidden && cmd.HasParent() {
			pages = append(pages, manualName(c))
		}
	}
	if len(pages) == 0 {
		return
	}
	r.line(".SH", "SEE ALSO")
	for i, page := range pages {
		end := ","
		if i == len(pages)-1 {
			end = ""
		}
		r.line(".BR", page, "(1)"+end)
	}
}

// manualDate is the day of the source, so that the same source makes the same
// page; empty when the build does not know it.
func manualDate() string {
	if at, err := time.Parse(time.RFC3339, date); err == nil {
		return at.UTC().Format(time.DateOnly)
	}
	return ""
}

func lowerFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}
