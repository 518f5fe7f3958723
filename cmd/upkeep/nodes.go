package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

func newNodes(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes that share the work",
		Long: `List the nodes that belong to the system: those whose service runs, and those whose
service ran once and is away. A node that is alive renews its lease every few seconds;
when it stops doing so, the others take its runs over. A node that drains takes nothing
new.

CONFIG is the beginning of the digest of what must be the same on all nodes; "drift"
marks the nodes that go by another configuration than most. What may differ is left out:
node, labels, root, ledger, web, max_running, ballast, log and metrics.`,
		Example: "  upkeep nodes\n  upkeep nodes -o json | jq '.[] | select(.drift)'\n  upkeep nodes forget db-3",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listNodes(cmd.Context()) },
	}
	a.outputFlag(cmd)
	return withCommands(cmd, newNodesForget(a))
}

func newNodesForget(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "forget NODE",
		Short: "Forget a node that is gone for good",
		Long: `Take a node off the list that is gone for good: runs for every node are no longer
expected of it. It is refused with exit code 4 while the node is alive. A node that comes
back belongs to the system again.`,
		Example:           "  upkeep nodes forget db-3",
		ValidArgsFunction: a.completeAbsent,
		RunE: func(cmd *cobra.Command, given []string) error {
			err := a.onMembers(cmd.Context(), "upkeep nodes forget", func(ctx context.Context, k memberKeeper) error { return k.ForgetNode(ctx, given[0]) })
			if err == nil {
				fmt.Fprintf(a.std.Out, "%s is forgotten\n", oneLine(given[0], 0))
			}
			return err
		},
	}
}

// memberKeeper keeps the list of nodes: the process that holds the ledger, or
// this one on the ledger itself.
type memberKeeper interface {
	ForgetNode(ctx context.Context, name string) error
}

// onMembers has something done about the list of nodes by the process that holds
// the ledger, or by this one when there is none.
func (a *app) onMembers(ctx context.Context, command string, do func(context.Context, memberKeeper) error) error {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	if c != nil {
		return do(ctx, c)
	}
	return a.onLedgerOf(ctx, cfg, command, func(ctx context.Context, l *ledger.Ledger) error { return do(ctx, membersOnLedger{accessOnLedger{l}}) })
}

// membersOnLedger works on the ledger itself, and records that in the audit.
type membersOnLedger struct{ accessOnLedger }

// ForgetNode takes a node off the list.
func (l membersOnLedger) ForgetNode(ctx context.Context, name string) error {
	if err := l.Forget(ctx, name); err != nil {
		return service.ForgetProblem(name, err)
	}
	return l.audit(ctx, "forget-node", name)
}

func (a *app) listNodes(ctx context.Context) error {
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	members, err := reader.members(ctx)
	if err != nil {
		return err
	}
	p := a.painter(a.std.Out)
	l := listing{
		columns: []string{"NODE", "STATE", "HOST", "LABELS", "VERSION", "LEASE", "RUNNING", "CONFIG"},
		empty:   "no service has run yet",
		data:    append([]api.Member{}, members...),
	}
	now := time.Now()
	for _, m := range members {
		labels := strings.Join(m.Labels, ",")
		if labels == "" {
			labels = "-"
		}
		l.rows = append(l.rows, []string{m.Name, p.memberState(m), m.Host, labels, m.Version, leaseOf(m, now), strconv.Itoa(m.Running), p.configOf(m)})
	}
	return a.list(l)
}

// memberState says whether a node is there, and since when it is not.
func (p painter) memberState(m api.Member) string {
	switch m.State {
	case api.MemberAlive:
		return m.State
	case api.MemberAbsent:
		return p.red(m.State + " since " + stamp(m.LastSeen))
	}
	return p.yellow(m.State)
}

// leaseOf says how long a node counts as alive without another word.
func leaseOf(m api.Member, now time.Time) string {
	if m.LeaseUntil == nil {
		return "-"
	}
	return fmt.Sprintf("%.0fs", max(m.LeaseUntil.Sub(now), 0).Seconds())
}

// shownDigest is how many characters of a digest are shown.
const shownDigest = 12

// configOf is the beginning of the digest of a node's configuration.
func (p painter) configOf(m api.Member) string {
	if m.Config == "" {
		return "-"
	}
	text := m.Config[:min(shownDigest, len(m.Config))]
	if m.Drift {
		return text + " " + p.red("drift")
	}
	return text
}

// completeAbsent offers the nodes that are away.
func (a *app) completeAbsent(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeMembers(cmd.Context(), func(m api.Member) bool { return m.State == api.MemberAbsent })
}

// completeNodes offers all nodes.
func (a *app) completeNodes(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeMembers(cmd.Context(), func(api.Member) bool { return true })
}

func (a *app) completeMembers(ctx context.Context, wanted func(api.Member) bool) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	reader, err := a.openReader(ctx)
	if err != nil {
		return nil, directive
	}
	defer reader.Close()
	members, err := reader.members(ctx)
	if err != nil {
		return nil, directive
	}
	var names []string
	for _, m := range members {
		text := m.State
		if m.State == api.MemberAbsent {
			text = "away since " + stamp(m.LastSeen)
		}
		if wanted(m) {
			names = append(names, m.Name+"\t"+text)
		}
	}
	return names, directive
}
