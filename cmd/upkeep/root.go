package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// app is what all commands share: the process's surroundings and the global
// flags.
type app struct {
	std    stdio
	getenv func(string) (string, bool)

	configPath string
	format     string
	noColor    bool
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "upkeep",
		Short: "Runs maintenance, proves its outcome and says so when it failed",
		Long: `upkeep looks after a production system. A YAML file declares daily, weekly and
monthly maintenance workflows; upkeep runs them with locking, timeouts, retries and
crash-safe resume, proves the outcome, and records every run.

` + exitHelp,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.configPath, "config", "c", "", "configuration file (default ./upkeep.yaml, then /etc/upkeep/upkeep.yaml; env UPKEEP_CONFIG)")
	flags.BoolVar(&a.noColor, "no-color", false, "no colors (env NO_COLOR)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err: err} })
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true})
	root.AddGroup(
		&cobra.Group{ID: "work", Title: "Running maintenance:"},
		&cobra.Group{ID: "look", Title: "Looking at what happened:"},
		&cobra.Group{ID: "setup", Title: "Setting up:"},
		&cobra.Group{ID: "reference", Title: "Reference:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("work", newRun(a), newRetry(a), newCancel(a))
	add("look", newList(a), newHistory(a), newShow(a), newLogs(a))
	add("setup", newInit(a), newValidate(a))
	add("reference", newKinds(a), newSchema(a), newVersion(a))
	root.SetCompletionCommandGroupID("reference")
	return root
}

// args wraps a positional-argument rule so that a violation counts as a
// mistake on the command line.
func args(rule cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := rule(cmd, given); err != nil {
			return &usageError{err: err}
		}
		return nil
	}
}

// outputFlag adds -o to a command that lists things.
func (a *app) outputFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&a.format, "output", "o", formatTable, "output format: table, json or csv")
	complete(cmd, "output", formatTable, formatJSON, formatCSV)
}

// complete offers fixed words for a flag.
func complete(cmd *cobra.Command, flag string, words ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(fmt.Sprintf("completion of --%s: %v", flag, err))
	}
}

// configFile finds the configuration: flag, then UPKEEP_CONFIG, then the two
// usual places.
func (a *app) configFile() (string, error) {
	if a.configPath != "" {
		return a.configPath, nil
	}
	if path, ok := a.getenv("UPKEEP_CONFIG"); ok && path != "" {
		return path, nil
	}
	places := []string{"upkeep.yaml", filepath.FromSlash("/etc/upkeep/upkeep.yaml")}
	for _, path := range places {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", usagef("no configuration: neither ./%s nor %s exists; name one with -c FILE, or write one with `upkeep init`", places[0], places[1])
}
