package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

// deskWorker does what people do about incidents: the process that holds the
// ledger, or this one on the ledger itself.
type deskWorker interface {
	AckIncident(ctx context.Context, id, note string, until time.Time) error
	NoteIncident(ctx context.Context, id, text string) error
	BeganIncident(ctx context.Context, id string, at time.Time) error
	ResolveIncident(ctx context.Context, id, note string) error
	Silence(ctx context.Context, r api.SilenceRequest) (runner.Silence, error)
	EndSilence(ctx context.Context, id string) error
}

// onDesk has something done about incidents by the process that holds the
// ledger, or by this one when there is none.
func (a *app) onDesk(ctx context.Context, command string, do func(context.Context, deskWorker) error) error {
	cfg, c, err := a.configOrHolder(ctx)
	if err != nil {
		return err
	}
	if c != nil {
		return do(ctx, c)
	}
	return a.onLedgerOf(ctx, cfg, command, func(ctx context.Context, l *ledger.Ledger) error {
		l.SetAlarm(cfg.Alarm())
		return do(ctx, deskOnLedger{l})
	})
}

// deskOnLedger works on the ledger itself, and settles what follows, as no
// service does. What that owes waits for one.
type deskOnLedger struct{ ledger *ledger.Ledger }

// AckIncident says that who types works on an incident.
func (d deskOnLedger) AckIncident(ctx context.Context, id, note string, until time.Time) error {
	return acted(ctx, d.ledger, "ack-incident", id, d.ledger.Ack(ctx, id, whoAmI(), note, until))
}

// NoteIncident adds a line to a timeline.
func (d deskOnLedger) NoteIncident(ctx context.Context, id, text string) error {
	return acted(ctx, d.ledger, "note-incident", id, d.ledger.Note(ctx, id, whoAmI(), text))
}

// BeganIncident says when a fault began.
func (d deskOnLedger) BeganIncident(ctx context.Context, id string, at time.Time) error {
	return acted(ctx, d.ledger, "began-incident", id, d.ledger.Began(ctx, id, whoAmI(), at))
}

// ResolveIncident ends an incident.
func (d deskOnLedger) ResolveIncident(ctx context.Context, id, note string) error {
	return acted(ctx, d.ledger, "resolve-incident", id, d.ledger.Resolve(ctx, id, whoAmI(), note))
}

// Silence keeps incidents from being told.
func (d deskOnLedger) Silence(ctx context.Context, r api.SilenceRequest) (runner.Silence, error) {
	s, err := r.Runner(whoAmI(), time.Now().UTC())
	if err != nil {
		return s, err
	}
	s.ID, err = d.ledger.Silence(ctx, s)
	if err = acted(ctx, d.ledger, "add-silence", strings.Join([]string{s.Workflow, s.Check, s.ID}, " "), err); err != nil {
		return s, err
	}
	_, err = d.ledger.Settle(ctx, time.Now())
	return s, err
}

// EndSilence ends a silence.
func (d deskOnLedger) EndSilence(ctx context.Context, id string) error {
	if err := acted(ctx, d.ledger, "end-silence", id, d.ledger.EndSilence(ctx, id, whoAmI())); err != nil {
		return err
	}
	_, err := d.ledger.Settle(ctx, time.Now())
	return err
}

// mostOfIncident bounds what belongs to an incident when it is shown or looked
// for.
const mostOfIncident = 200

// findIncident finds an incident by what a person typed: an ID, the beginning
// of one, the name of a check or a workflow for its newest incident, or `last`.
func findIncident(ctx context.Context, reader history, text string) (runner.Incident, error) {
	if looksLikeID(text) {
		incident, err := reader.alerts.Incident(ctx, text)
		if !errors.Is(err, runner.ErrNotFound) {
			if is[*runner.AmbiguousError](err) {
				err = jobs.WithHint(err, "give more characters of the ID; `upkeep incident list --all` shows them")
			}
			return incident, err
		}
	}
	filters := []runner.IncidentFilter{{Limit: 1}}
	if text != lastRun {
		filters = []runner.IncidentFilter{{Fingerprint: text, Limit: 1}, {Fingerprint: "check/" + text, Limit: 1}, {Fingerprint: "workflow/" + text, Limit: 1}}
	}
	var found []runner.Incident
	for _, f := range filters {
		list, err := reader.alerts.Incidents(ctx, f)
		if err != nil {
			return runner.Incident{}, err
		}
		found = append(found, list...)
	}
	if len(found) == 0 {
		return runner.Incident{}, notFoundf("`upkeep incident list --all` lists the incidents", "there is no incident %q", text)
	}
	return slices.MaxFunc(found, func(a, b runner.Incident) int { return strings.Compare(a.ID, b.ID) }), nil
}

// completeIncidents offers the latest incidents.
func (a *app) completeIncidents(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if len(given) > 0 {
		return nil, directive
	}
	reader, err := a.openReader(cmd.Context())
	if err != nil {
		return nil, directive
	}
	defer reader.Close()
	list, err := reader.alerts.Incidents(cmd.Context(), runner.IncidentFilter{Limit: 20})
	if err != nil {
		return nil, directive
	}
	names := []string{lastRun + "\tthe newest incident"}
	for _, i := range list {
		names = append(names, fmt.Sprintf("%s\t%s %s", i.ID, i.State, oneLine(i.Title, mostAbout)))
	}
	return names, directive
}

// completeSilences offers the silences that have not ended.
func (a *app) completeSilences(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	reader, err := a.openReader(cmd.Context())
	if err != nil || len(given) > 0 {
		return nil, directive
	}
	defer reader.Close()
	list, err := reader.desk.Silences(cmd.Context(), time.Now(), false)
	if err != nil {
		return nil, directive
	}
	var names []string
	for _, s := range list {
		names = append(names, s.ID+"\t"+selection(s)+": "+oneLine(s.Why, mostAbout))
	}
	return names, directive
}
