package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
	"github.com/ghosteam/upkeep/configs/unit"
)

func newBackup(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "List, prove, prune and restore what jobs put into stores",
		Long: `Everything that a job put into a store is an artifact with a manifest, which says what
it is, what it consists of and how far it was proven. These commands read the stores
themselves: they need neither the service nor the ledger. With --server the service
there does the work, one such work at a time, and Ctrl-C stops it.`,
		Example: "  upkeep backup list\n  upkeep backup verify --newest",
	}
	return withCommands(cmd, newBackupList(a), newBackupVerify(a), newBackupDrill(a), newBackupRestore(a), newBackupPrune(a))
}

// first is the first of the arguments; empty when there is none.
func first(given []string) string {
	if len(given) == 0 {
		return ""
	}
	return given[0]
}

// atMoment reads --at.
func atMoment(text string) (*time.Time, error) {
	at, err := moment("at", text, time.Now())
	if err != nil || at.IsZero() {
		return nil, err
	}
	return &at, nil
}

// completeBackups offers the artifacts with their ids.
func (a *app) completeBackups(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	cfg, err := a.loadForReading()
	if err != nil || len(given) > 0 {
		return nil, directive
	}
	found, err := custody.New(custody.Options{Config: cfg}).Artifacts(cmd.Context(), custody.Scope{Bare: true})
	if err != nil {
		return nil, directive
	}
	var words []string
	for _, b := range found[:min(len(found), 50)] {
		words = append(words, fmt.Sprintf("%s\t%s in %s, %s", b.Manifest.ID, b.Name(), b.Store, stamp(b.Manifest.Created)))
	}
	return words, directive
}

// completeBackupJobs offers the workflows and jobs that make artifacts.
func (a *app) completeBackupJobs(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.loadForReading()
	if err != nil || len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, m := range custody.Makers(cfg, custody.Scope{}) {
		words = append(words, m.Name()+"\t"+m.Job.Kind)
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeStores offers the configured stores.
func (a *app) completeStores(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	cfg, err := a.loadForReading()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range cfg.Stores {
		names = append(names, s.Name+"\t"+s.Kind)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// age is how old an artifact is, in words.
func age(created, now time.Time) string { return unit.Took(now.Sub(created).Round(time.Second)) }

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
