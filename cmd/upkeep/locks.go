package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

func newLocks(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "locks",
		Short: "List the named locks, who holds them and who waits",
		Long: `List the named locks: those under resources in the configuration, and those that a job
holds or waits for. Who waits gets the lock in the order shown. One that waits for a
second lock too, which somebody keeps, is passed by others a few times and not more.

LIMIT is how many jobs may hold the lock at once on all nodes together. A lock that
other tools take part in names the database in which it is kept too.`,
		Example: "  upkeep locks\n  upkeep locks -o json | jq '.[] | select(.waiters != [])'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listLocks(cmd.Context()) },
	}
	a.outputFlag(cmd)
	return cmd
}

func (a *app) listLocks(ctx context.Context) error {
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	locks, err := reader.locks(ctx)
	if err != nil {
		return err
	}
	l := listing{
		columns: []string{"LOCK", "LIMIT", "IN", "STATE", "JOB", "RUN", "NODE", "SINCE"}, empty: "nobody holds a lock",
		data: append([]api.Lock{}, locks...),
	}
	for _, lock := range locks {
		in := lock.In
		if in == "" {
			in = "ledger"
		}
		row := func(state, job string, run runner.RunID, node, since string) {
			l.rows = append(l.rows, []string{lock.Name, strconv.Itoa(lock.Limit), in, state, job, string(run), node, since})
		}
		for _, h := range lock.Holders {
			row("held", h.Workflow+"."+h.Job, h.Run, h.Node, stamp(h.AcquiredAt))
		}
		for i, w := range lock.Waiters {
			row(fmt.Sprintf("waits (%d)", i+1), w.Workflow+"."+w.Job, w.Run, w.Node, stamp(w.Since))
		}
		if len(lock.Holders)+len(lock.Waiters) == 0 {
			row("free", "-", "-", "-", "-")
		}
	}
	return a.list(l)
}

// waitingJobs says what jobs of a run wait for: the job and, for each of its
// locks, who holds it.
func waitingJobs(locks []api.Lock, run runner.RunID) [][2]string {
	var list [][2]string
	for _, lock := range locks {
		for i, w := range lock.Waiters {
			if w.Run != run {
				continue
			}
			text := "waits for " + lock.Name + " since " + stamp(w.Since)
			var holders []string
			for _, h := range lock.Holders {
				holders = append(holders, fmt.Sprintf("%s.%s on %s", h.Workflow, h.Job, h.Node))
			}
			switch {
			case len(holders) >= lock.Limit:
				text += ", held by " + strings.Join(holders, ", ")
			case i > 0:
				text += fmt.Sprintf(", behind %s.%s", lock.Waiters[0].Workflow, lock.Waiters[0].Job)
			default:
				continue // it is free, and another one keeps the job
			}
			list = append(list, [2]string{w.Job, text})
		}
	}
	return list
}
