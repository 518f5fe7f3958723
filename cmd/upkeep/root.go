package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/jobs"
)

// app is what all commands share: the process's surroundings and the global
// flags.
type app struct {
	// name is how the program was called.
	name    string
	std     stdio
	getenv  func(string) (string, bool)
	signals *interrupts
	// began tells that the command line was understood and its command runs.
	began bool
	// groups are the commands in the order of the help.
	groups []group

	configPath string
	far        farFlags
	format     format
	noColor    bool
}

// group is some commands under one title.
type group struct {
	title    string
	commands []*cobra.Command
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "upkeep",
		Short: "Runs maintenance, proves its outcome and says so when it failed",
		Long: `upkeep looks after a production system. A YAML file declares daily, weekly and
monthly maintenance workflows; upkeep runs them with locking, timeouts, retries and
crash-safe resume, proves the outcome, and records every run.`,
		Version:                    versionLine(),
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableSuggestions:         true, // usage makes them
		SuggestionsMinimumDistance: 2,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRun:           func(*cobra.Command, []string) { a.began = true },
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.configPath, "config", "c", "", "the configuration `FILE` (default ./upkeep.yaml, then /etc/upkeep/upkeep.yaml; env UPKEEP_CONFIG)")
	flags.StringVar(&a.far.server, "server", "", "ask the service at this `URL`, not that of this machine (env UPKEEP_SERVER)")
	flags.StringVar(&a.far.tokenFile, "token-file", "", "with --server: the `FILE` that holds the token (env UPKEEP_TOKEN_FILE)")
	flags.StringVar(&a.far.caFile, "ca-file", "", "with --server: trust the authorities in this `FILE` (env UPKEEP_CA_FILE)")
	flags.BoolVar(&a.far.insecure, "insecure", false, "with --server: send the token over http to another machine")
	flags.BoolVar(&a.noColor, "no-color", false, "no colors (env NO_COLOR)")
	flags.BoolP("help", "h", false, "explain the command")
	root.Flags().Bool("version", false, "print the version of this binary")
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpFunc(a.help)
	a.groups = []group{
		{"Running maintenance", []*cobra.Command{newServe(a), newRun(a), newRetry(a), newCancel(a), newApprove(a)}},
		{"Looking at what happened", []*cobra.Command{newList(a), newHistory(a), newShow(a), newLogs(a), newWhy(a), newDoctor(a), newHealth(a), newKPI(a), newReport(a)}},
		{"Looking at what will happen", []*cobra.Command{newPlan(a), newPause(a), newUnpause(a), newRunbook(a)}},
		{"Looking after backups", []*cobra.Command{newBackup(a)}},
		{"Looking into databases", []*cobra.Command{newDB(a)}},
		{"Being told", []*cobra.Command{newAlert(a), newIncident(a), newSilence(a), newMetric(a), newMetrics(a), newLog(a), newEvent(a), newPing(a)}},
		{"Setting up", []*cobra.Command{newInit(a), newValidate(a), newNodes(a), newLocks(a), newLedger(a), newDrain(a), newPruneHistory(a), newToken(a), newAudit(a)}},
		{"Reference", []*cobra.Command{newKinds(a), newSchema(a), newCompletion(a), newVersion(a), newHelp(a)}},
	}
	for _, g := range a.groups {
		for _, c := range g.commands {
			c.Args = arguments(c)
			root.AddCommand(c)
			if c.Name() == "help" {
				root.SetHelpCommand(c)
			}
		}
	}
	man := newMan(a) // for packages, in no group
	man.Args = positional(man)
	root.AddCommand(man)
	return root
}

// withCommands adds commands below a command, which explains itself when it
// does nothing of its own.
func withCommands(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	for _, c := range below {
		c.Args = arguments(c)
	}
	cmd.AddCommand(below...)
	if !cmd.Runnable() {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	return cmd
}

// arguments is the rule for a command's arguments: what is not the name of a
// command below it is a mistake.
func arguments(cmd *cobra.Command) cobra.PositionalArgs {
	if !cmd.HasSubCommands() {
		return positional(cmd)
	}
	return func(cmd *cobra.Command, given []string) error {
		if len(given) == 0 {
			return nil
		}
		return noCommand(cmd, given[0])
	}
}

// positional is the rule for a command's arguments, as its usage line names
// them: those in brackets may be left out, and one with dots may be many.
func positional(cmd *cobra.Command) cobra.PositionalArgs {
	names := strings.Fields(cmd.Use)[1:]
	required := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "[") })
	if required < 0 {
		required = len(names)
	}
	return func(cmd *cobra.Command, given []string) error {
		switch {
		case len(given) < required:
			return usagef("%s: the argument %s is missing", cmd.CommandPath(), names[len(given)])
		case len(given) > len(names) && !strings.HasSuffix(strings.Join(names, ""), "...]"):
			return usagef("%s: unexpected argument %q", cmd.CommandPath(), given[len(names)])
		}
		return nil
	}
}

// usage makes an error of a command line that was not understood readable.
func (a *app) usage(root *cobra.Command, err error) error {
	name, ok := strings.CutPrefix(err.Error(), "unknown command ")
	if !ok {
		return &usageError{err: err}
	}
	quoted, quoteErr := strconv.QuotedPrefix(name)
	if quoteErr != nil {
		return &usageError{err: err}
	}
	if name, quoteErr = strconv.Unquote(quoted); quoteErr != nil {
		return &usageError{err: err}
	}
	return noCommand(root, name)
}

// noCommand is the error of a name that is none of the commands below parent.
func noCommand(parent *cobra.Command, name string) error {
	path := parent.CommandPath()
	parent.SuggestionsMinimumDistance = max(2, parent.SuggestionsMinimumDistance)
	hint := "`" + path + " --help` lists the commands"
	if near := parent.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean `" + path + " " + strings.Join(near, "` or `"+path+" ") + "`?"
	}
	return jobs.WithHint(usagef("there is no command %q", strings.TrimPrefix(path+" "+name, parent.Root().Name()+" ")), hint)
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
	places := []string{"upkeep.yaml", "/etc/upkeep/upkeep.yaml"}
	for _, path := range places {
		// A file that is there and cannot be read is for the loader to report.
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", jobs.WithHint(usagef("no configuration: there is neither ./%s nor %s", places[0], places[1]),
		"name one with -c FILE or UPKEEP_CONFIG, or write one with `upkeep init`")
}
