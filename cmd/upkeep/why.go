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
	cmd := &cobra.Command{
		Use:   "why WORKFLOW [DATE]",
		Short: "Tell why a workflow did or did not run",
		Long: `Tell what became of every slot that a workflow had on a day: the run that came of
it, or why none did. Without a date it is about the slot that was due last.

DATE is in the time zone of the workflow: 2026-03-29, 03-29, today, yesterday,
sunday, "2026-03-29 02:30", or an instant such as 2026-03-29T00:30:00Z.`,
		Example:           "  upkeep why daily\n  upkeep why daily yesterday\n  upkeep why daily \"2026-03-29 02:30\" -o json",
		ValidArgsFunction: a.completeScheduled,
		RunE: func(cmd *cobra.Command, given []string) error {
			date := ""
			if len(given) > 1 {
				date = given[1]
			}
			return a.why(cmd.Context(), given[0], date)
		},
	}
	a.outputFlag(cmd)
	return cmd
}

func (a *app) why(ctx context.Context, workflow, date string) error {
	cfg, err := a.loadForReading()
	if err != nil || a.farServer() != "" {
		return a.askWhy(ctx, workflow, date)
	}
	reader, err := a.openHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer reader.Close()
	answer, err := service.Explain(ctx, cfg, reader.slots, workflow, date, time.Now())
	if err != nil {
		return err
	}
	if a.format != formatTable {
		return a.list(listWhy(service.WhyOf(cfg, workflow, answer)))
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
		fmt.Fprintf(a.std.Out, "%s  %s\n", when, oneLine(s.Sentence, 0))
		if s.Next != "" {
			fmt.Fprintf(a.std.Out, "  %s\n", p.faint(s.Next))
		}
		rest = rest[alike:]
	}
	for _, note := range answer.Notes {
		fmt.Fprintln(a.std.Out, oneLine(note, 0))
	}
}

// askWhy asks the service when the configuration on disk cannot answer.
func (a *app) askWhy(ctx context.Context, workflow, date string) error {
	_, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	view, err := c.Why(ctx, workflow, date)
	if err != nil {
		return err
	}
	if a.format != formatTable {
		return a.list(listWhy(view))
	}
	answer := explain.Answer{}
	for _, s := range view.Slots {
		answer.Slots = append(answer.Slots, explain.SlotAnswer{Local: s.Local, Sentence: s.Text, Next: s.Hint})
	}
	if view.Summary != "" {
		answer.Notes = []string{view.Summary}
	}
	a.tellWhy(answer)
	return nil
}

func listWhy(view api.Why) listing {
	l := listing{columns: []string{"slot", "local", "verdict", "run", "sentence", "next"}, data: view}
	for _, s := range view.Slots {
		l.rows = append(l.rows, []string{s.Slot.Format(time.RFC3339), s.Local, strings.Join(s.Details, " "), string(s.Run), s.Text, s.Hint})
	}
	return l
}
