package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/runner/explain"
	"github.com/ghosteam/upkeep/web/api"
)

func newWhy(a *app) *cobra.Command {
	var node string
	cmd := &cobra.Command{
		Use:   "why WORKFLOW [DATE]",
		Short: "Tell why a workflow did or did not run",
		Long: `Tell what became of every slot that a workflow had on a day: the run that came of
it, or why none did. Without a date it is about the slot that was due last.

DATE is in the time zone of the workflow: 2026-03-29, 03-29, today, yesterday,
sunday, "2026-03-29 02:30", or an instant such as 2026-03-29T00:30:00Z.

Of a workflow that every node runs, the answer says it for each of them, or with
--node for one. Of any other it says on which node it ran, or for what it waits.`,
		Example:           "  upkeep why daily\n  upkeep why daily yesterday\n  upkeep why daily \"2026-03-29 02:30\" -o json\n  upkeep why logs today --node db-2",
		ValidArgsFunction: a.completeScheduled,
		RunE: func(cmd *cobra.Command, given []string) error {
			ask := service.Inquiry{Workflow: given[0], Node: node}
			if len(given) > 1 {
				ask.Date = given[1]
			}
			return a.why(cmd.Context(), ask)
		},
	}
	a.outputFlag(cmd)
	cmd.Flags().StringVar(&node, "node", "", "only the share of this `NODE`")
	completeFlag(cmd, "node", a.completeNodes)
	return cmd
}

func (a *app) why(ctx context.Context, ask service.Inquiry) error {
	cfg, err := a.loadForReading()
	if err != nil || a.farServer() != "" {
		return a.askWhy(ctx, ask)
	}
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer reader.Close()
	members, err := reader.members(ctx)
	if err != nil {
		return err
	}
	answer, err := service.Explain(ctx, cfg, reader.slots, members, ask, time.Now())
	if err != nil {
		return err
	}
	if a.format != formatTable {
		return a.list(listWhy(service.WhyOf(cfg, ask.Workflow, answer)))
	}
	a.tellWhy(answer)
	return nil
}

// tellWhy is the answer for a person.
func (a *app) tellWhy(answer explain.Answer) {
	p := a.painter(a.std.Out)
	for rest := answer.Slots; len(rest) > 0; {
		// Slots in a row of which the same is to be said share a line.
		s, alike := rest[0], 1
		for alike < len(rest) && rest[alike].Sentence == s.Sentence && rest[alike].Next == s.Next {
			alike++
		}
		when := p.bold(s.Local)
		if alike > 1 {
			when += fmt.Sprintf(" to %s, %d slots", p.bold(rest[alike-1].Local), alike)
		}
		if len(s.Hosts) > 1 {
			fmt.Fprintln(a.std.Out, when)
			a.tellHosts(s)
		} else {
			a.tellSlot(when, s)
		}
		rest = rest[alike:]
	}
	for _, note := range answer.Notes {
		fmt.Fprintln(a.std.Out, oneLine(note, 0))
	}
}

// tellSlot says what became of a slot.
func (a *app) tellSlot(when string, s explain.SlotAnswer) {
	fmt.Fprintf(a.std.Out, "%s  %s\n", when, oneLine(s.Sentence, 0))
	if s.Next != "" {
		fmt.Fprintf(a.std.Out, "  %s\n", a.painter(a.std.Out).faint(s.Next))
	}
}

// tellHosts says what became of the shares of the nodes in a slot, a line each.
func (a *app) tellHosts(s explain.SlotAnswer) {
	p := a.painter(a.std.Out)
	for _, h := range s.Hosts {
		line := oneLine(h.Sentence, 0)
		if h.Next != "" {
			line += "  " + p.faint(h.Next)
		}
		fmt.Fprintf(a.std.Out, "  %s: %s\n", p.bold(oneLine(h.Host, 0)), line)
	}
}

// askWhy asks the service when the configuration on disk cannot answer.
func (a *app) askWhy(ctx context.Context, ask service.Inquiry) error {
	_, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	view, err := c.Why(ctx, ask.Workflow, ask.Date, ask.Node)
	if err != nil {
		return err
	}
	if a.format != formatTable {
		return a.list(listWhy(view))
	}
	answer := explain.Answer{}
	for _, s := range view.Slots {
		told := explain.SlotAnswer{Local: s.Local, Sentence: s.Text, Next: s.Hint}
		for _, h := range s.Hosts {
			told.Hosts = append(told.Hosts, explain.HostAnswer{Host: h.Host, Verdict: explain.Verdict(h.Verdict), Sentence: h.Text, Next: h.Hint})
		}
		answer.Slots = append(answer.Slots, told)
	}
	if view.Summary != "" {
		answer.Notes = []string{view.Summary}
	}
	a.tellWhy(answer)
	return nil
}

// listWhy is the answer for programs: a line for each slot, or for each node of
// each slot.
func listWhy(view api.Why) listing {
	l := listing{columns: []string{"slot", "local", "node", "verdict", "run", "sentence", "next"}, data: view}
	for _, s := range view.Slots {
		slot := s.Slot.Format(time.RFC3339)
		for _, h := range s.Hosts {
			l.rows = append(l.rows, []string{slot, s.Local, h.Host, h.Verdict, string(h.Run), h.Text, h.Hint})
		}
		if len(s.Hosts) == 0 {
			l.rows = append(l.rows, []string{slot, s.Local, s.Node, strings.Join(s.Details, " "), string(s.Run), s.Text, s.Hint})
		}
	}
	return l
}
