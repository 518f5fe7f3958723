package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/runner"
)

func newCompletion(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script for bash, zsh or fish",
		Long: `Print the script that lets a shell complete commands, flags, the names of workflows
and jobs, and the IDs of recent runs.`,
		Example: "  upkeep completion bash > /etc/bash_completion.d/upkeep\n" +
			"  upkeep completion zsh > \"${fpath[1]}/_upkeep\"\n" +
			"  upkeep completion fish > ~/.config/fish/completions/upkeep.fish",
		ValidArgsFunction: cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, given []string) (err error) {
			root := cmd.Root()
			switch given[0] {
			case "bash":
				err = root.GenBashCompletionV2(a.std.Out, true)
			case "zsh":
				err = root.GenZshCompletion(a.std.Out)
			case "fish":
				err = root.GenFishCompletion(a.std.Out, true)
			default:
				return usagef("there is no completion for the shell %q: use bash, zsh or fish", given[0])
			}
			if err != nil {
				return fmt.Errorf("write the completion script: %w", err)
			}
			return nil
		},
	}
}

// completer offers words for an argument or a flag; given are the arguments
// that are there already.
type completer func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective)

// completeFlag has a flag completed.
func completeFlag(cmd *cobra.Command, flag string, offer completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.CompletionFunc(offer)); err != nil {
		panic(fmt.Sprintf("completion of --%s: %v", flag, err)) // there is no such flag
	}
}

// completeWords offers fixed words.
func completeWords[S ~string](words []S) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		out := make([]string, len(words))
		for i, w := range words {
			out[i] = string(w)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeWorkflows offers the names of workflows.
func (a *app) completeWorkflows(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return a.workflowNames(false), cobra.ShellCompDirectiveNoFileComp
}

// completeTargets offers what `run` can run.
func (a *app) completeTargets(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.workflowNames(true), cobra.ShellCompDirectiveNoFileComp
}

// completeParams offers the parameters of the workflow that is named already.
func (a *app) completeParams(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	cfg, err := a.loadForReading()
	if err != nil || len(given) == 0 {
		return nil, directive
	}
	w, err := cfg.Workflow(given[0])
	if err != nil {
		return nil, directive
	}
	var names []string
	for _, p := range w.Params {
		names = append(names, p.Name+"=\t"+oneLine(p.Description, 0))
	}
	return names, directive
}

// workflowNames lists workflows, and with jobs also WORKFLOW.JOB, for
// completion; a configuration that does not load completes to nothing.
func (a *app) workflowNames(jobs bool) []string {
	cfg, err := a.loadForReading()
	if err != nil {
		return nil
	}
	var names []string
	for _, w := range cfg.Workflows {
		names = append(names, w.Name+"\t"+oneLine(w.Description, 0))
		for _, j := range w.Jobs {
			if jobs {
				names = append(names, w.Name+"."+j.Name+"\t"+j.Kind)
			}
		}
	}
	return names
}

// completeRuns offers recent runs, and workflows for their newest ones.
func (a *app) completeRuns(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if len(given) > 0 {
		return nil, directive
	}
	reader, err := a.openReader(cmd.Context())
	if err != nil {
		return nil, directive
	}
	defer reader.Close()
	runs, err := reader.Runs(cmd.Context(), runner.Filter{Limit: 20})
	if err != nil {
		return nil, directive
	}
	names := []string{lastRun + "\tthe newest run"}
	for _, r := range runs {
		names = append(names, fmt.Sprintf("%s\t%s %s %s", r.ID, r.Spec.Workflow, r.State, stamp(r.QueuedAt)))
	}
	return append(names, a.workflowNames(false)...), directive
}

// completeJobsOfRun offers the jobs of the run that is named already.
func (a *app) completeJobsOfRun(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	reader, err := a.openReader(cmd.Context())
	if err != nil || len(given) != 1 {
		return nil, directive
	}
	defer reader.Close()
	run, err := findRun(cmd.Context(), reader, given[0])
	if err != nil {
		return nil, directive
	}
	attempts, err := reader.Attempts(cmd.Context(), run.ID)
	if err != nil {
		return nil, directive
	}
	var names []string
	for _, at := range latestPerJob(attempts) {
		names = append(names, at.Job+"\t"+string(at.State))
	}
	return names, directive
}

// completeRunThenJob offers runs, and after one its jobs.
func (a *app) completeRunThenJob(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(given) == 0 {
		return a.completeRuns(cmd, given, typed)
	}
	return a.completeJobsOfRun(cmd, given, typed)
}

// completeScheduled offers the workflows that start by themselves.
func (a *app) completeScheduled(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.loadForReading()
	if err != nil || len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, w := range cfg.Workflows {
		switch {
		case !w.Schedule.IsZero():
			names = append(names, w.Name+"\t"+w.Schedule.Describe())
		case w.Trigger != nil:
			names = append(names, w.Name+"\t"+w.Trigger.String())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeChannels offers the configured channels.
func (a *app) completeChannels(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.loadForReading()
	if err != nil || len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, c := range cfg.Channels {
		names = append(names, c.Name+"\t"+c.Kind)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
