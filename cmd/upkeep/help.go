package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/jobs"
)

// exitHelp repeats the exit codes of exit.go for people.
const exitHelp = `  0  ok                          5  succeeded with warnings
  1  the run or upkeep failed    6  refused by a safety rail
  2  usage or configuration     75  temporary, try again
  3  not found                 124  timed out
  4  skipped or locked         130  canceled
`

func newHelp(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Explain a command",
		Example: "  upkeep help run",
		ValidArgsFunction: func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, c := range cmd.Root().Commands() {
				if len(given) == 0 && !c.Hidden {
					names = append(names, c.Name()+"\t"+c.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			about, rest, err := cmd.Root().Find(given)
			if err != nil {
				return a.usage(cmd.Root(), err)
			}
			if len(rest) > 0 {
				return usagef("there is no command %q", strings.Join(given, " "))
			}
			a.help(about, nil)
			return nil
		},
	}
}

// help writes the help of every command in one form.
func (a *app) help(cmd *cobra.Command, _ []string) {
	w := a.std.Out
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	fmt.Fprintf(w, "%s\n", about)
	p := a.painter(w)
	section := func(title string) { fmt.Fprintf(w, "\n%s\n", p.bold(title+":")) }
	section("Usage")
	if cmd.HasParent() {
		line := cmd.CommandPath() + strings.TrimPrefix(cmd.Use, cmd.Name())
		if cmd.HasAvailableLocalFlags() {
			line += " [FLAGS]"
		}
		fmt.Fprintf(w, "  %s\n", line)
	} else {
		fmt.Fprintf(w, "  %s [-c FILE] COMMAND [ARGUMENTS] [FLAGS]\n", cmd.Name())
		for _, g := range a.groups {
			section(g.title)
			listCommands(w, g.commands)
		}
	}
	if cmd.HasParent() && cmd.HasAvailableSubCommands() {
		section("Commands")
		listCommands(w, cmd.Commands())
	}
	if cmd.Example != "" {
		section("Examples")
		fmt.Fprintf(w, "%s\n", cmd.Example)
	}
	if cmd.HasAvailableLocalFlags() {
		section("Flags")
		fmt.Fprint(w, cmd.LocalFlags().FlagUsages())
	}
	if cmd.HasParent() {
		section("Flags of every command")
		fmt.Fprint(w, cmd.InheritedFlags().FlagUsages())
	}
	section("Exit codes")
	fmt.Fprint(w, exitHelp)
	if !cmd.HasParent() {
		fmt.Fprintf(w, "\n`%s COMMAND --help` explains a command.\n", cmd.Name())
	}
}

// leastWidth keeps the columns of several lists of commands in line.
const leastWidth = 15

func listCommands(w io.Writer, commands []*cobra.Command) {
	width := 0
	for _, c := range commands {
		width = max(width, len(c.Name())+2)
	}
	width = max(width, leastWidth)
	for _, c := range commands {
		fmt.Fprintf(w, "  %-*s%s\n", width, c.Name(), c.Short)
	}
}

// hintIfNone gives advice along with an error that has none of its own.
func hintIfNone(err error, hint string) error {
	if err == nil || jobs.HintOf(err) != "" {
		return err
	}
	return jobs.WithHint(err, hint)
}
