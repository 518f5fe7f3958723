package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
other tools take part in names the database in which it is kept too. That database is
asked who has the lock: "held outside" is another tool, until EXPIRES unless it renews,
and "waits in DATABASE" a job that has the lock in the ledger but not there yet. When it
does not answer within two seconds, what is not known is said.`,
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
		columns: []string{"LOCK", "LIMIT", "IN", "STATE", "JOB", "RUN", "NODE", "SINCE", "EXPIRES"}, empty: "nobody holds a lock",
		data: append([]api.Lock{}, locks...),
	}
	for i, lock := range locks {
		l.rows = append(l.rows, lockRows(lock)...)
		if lock.Unknown != "" && !slices.ContainsFunc(locks[:i], func(o api.Lock) bool { return o.In == lock.In && o.Unknown != "" }) {
			fmt.Fprintf(a.std.Err, "warning: who holds locks in %s is not known: %s\n", lock.In, oneLine(lock.Unknown, 0))
		}
	}
	return a.list(l)
}

// lockRows are the lines about one lock: one for each that holds it or waits.
func lockRows(lock api.Lock) (rows [][]string) {
	row := func(state, job string, run runner.RunID, node, since, expires string) {
		rows = append(rows, []string{lock.Name, strconv.Itoa(lock.Limit), cmp.Or(lock.In, "ledger"), state, job, string(run), node, since, expires})
	}
	for _, o := range lock.Others {
		expires := "never"
		if o.ExpiresAt != nil {
			expires = stamp(*o.ExpiresAt)
		}
		row("held outside", o.Called(), "-", "-", "-", expires)
	}
	for _, h := range lock.Holders {
		state := "held"
		switch {
		case h.Waits:
			state = "waits in " + lock.In
		case lock.Unknown != "":
			state = "held in ledger"
		}
		row(state, h.Workflow+"."+h.Job, h.Run, h.Node, stamp(h.AcquiredAt), "-")
	}
	for i, w := range lock.Waiters {
		row(fmt.Sprintf("waits (%d)", i+1), w.Workflow+"."+w.Job, w.Run, w.Node, stamp(w.Since), "-")
	}
	switch {
	case len(rows) > 0:
	case lock.Unknown != "":
		row("unknown", "-", "-", "-", "-", "-")
	default:
		row("free", "-", "-", "-", "-", "-")
	}
	return rows
}

// waitingJobs says what jobs of a run wait for: the job and, for each of its
// locks, who holds it.
func waitingJobs(locks []api.Lock, run runner.RunID) [][2]string {
	var list [][2]string
	for _, lock := range locks {
		var others, holders []string
		for _, o := range lock.Others {
			others = append(others, o.Called()+" outside of upkeep")
		}
		for _, h := range lock.Holders {
			where := h.Node
			if h.Waits {
				where += " (waits in " + lock.In + ")"
			}
			holders = append(holders, fmt.Sprintf("%s.%s on %s", h.Workflow, h.Job, where))
		}
		for _, h := range lock.Holders {
			if h.Run != run || !h.Waits {
				continue
			}
			text := "waits for " + lock.Name + " in " + lock.In + " since " + stamp(h.AcquiredAt)
			if len(others) > 0 {
				text += ", held by " + strings.Join(others, ", ")
			}
			list = append(list, [2]string{h.Job, text})
		}
		for i, w := range lock.Waiters {
			if w.Run != run {
				continue
			}
			text := "waits for " + lock.Name + " since " + stamp(w.Since)
			switch {
			case len(holders) >= lock.Limit:
				text += ", held by " + strings.Join(slices.Concat(holders, others), ", ")
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
