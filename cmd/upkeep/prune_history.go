package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

func newPruneHistory(a *app) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "prune-history",
		Short: "Forget runs that the configuration does not want kept",
		Long: `Forget the runs that exceed what ` + "`history`" + ` in the configuration keeps, oldest first.
The service does it by itself; this command also works without one, as when the disk
is full. Runs that are under way, the newest run and the newest success of each
workflow, and whatever catching up could ask for, always stay.`,
		Example: "  upkeep prune-history --dry-run\n  upkeep prune-history",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.pruneHistory(cmd.Context(), dryRun)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would go, and change nothing")
	return cmd
}

// prunedView is the JSON form of what went.
type prunedView struct {
	DryRun    bool           `json:"dry_run"`
	Runs      map[string]int `json:"runs"`
	Bytes     int64          `json:"bytes"`
	Incidents int            `json:"incidents"`
	Notices   int            `json:"notices"`
	Events    int            `json:"events"`
	Samples   int            `json:"samples"`
}

func (a *app) pruneHistory(ctx context.Context, dryRun bool) (err error) {
	cfg, err := a.loadForReading()
	if err != nil {
		return err
	}
	o := service.LedgerOptions(cfg, version, a.log())
	o.Command = "upkeep prune-history"
	l, err := ledger.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	pruned, err := service.PruneHistory(ctx, cfg, l, time.Now(), dryRun)
	if !dryRun {
		err = acted(ctx, l, "prune-history", "", err)
	}
	if err != nil {
		return err
	}
	return a.tellPruned(pruned, dryRun)
}

func (a *app) tellPruned(pruned runner.Pruned, dryRun bool) error {
	if a.format == formatTable {
		verb := "forgot"
		if dryRun {
			verb = "would forget"
		}
		fmt.Fprintf(a.std.Out, "%s %s, %s\n", verb, count(pruned.Total(), "run"), humanize.IBytes(uint64(max(pruned.Bytes, 0))))
	}
	l := listing{columns: []string{"WORKFLOW", "RUNS"}, data: prunedView{
		DryRun: dryRun, Runs: map[string]int{}, Bytes: pruned.Bytes, Incidents: pruned.Incidents, Notices: pruned.Notices, Events: pruned.Events, Samples: pruned.Samples,
	}}
	view, _ := l.data.(prunedView)
	maps.Copy(view.Runs, pruned.Runs)
	for _, name := range slices.Sorted(maps.Keys(pruned.Runs)) {
		l.rows = append(l.rows, []string{name, strconv.Itoa(pruned.Runs[name])})
	}
	if a.format == formatTable && len(l.rows) == 0 {
		return nil
	}
	return a.list(l)
}
