package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/runner"
)

var (
	_ runner.AlertReader = (*Reader)(nil)
	_ runner.DeskReader  = (*Reader)(nil)
)

// incidentColumns are what scanIncident reads, from incidents.
const incidentColumns = `id, fingerprint, workflow, severity, reason, title, run, channels, state, count,
	opened_at, last_at, resolved_at, resolver, check_name, last_good, first_bad, parent,
	acked_at, acked_until, acked_by, suppressed, flapping`

// scanIncident reads incidentColumns, and what follows them into more.
func scanIncident(row scanner, more ...any) (runner.Incident, error) {
	var i runner.Incident
	var channels string
	var opened, last, resolved, good, bad, acked, until sql.NullInt64
	err := row.Scan(append([]any{
		&i.ID, &i.Fingerprint, &i.Workflow, &i.Severity, &i.Reason, &i.Title, &i.Fault.Run, &channels, &i.State, &i.Count,
		&opened, &last, &resolved, &i.Resolver, &i.Check, &good, &bad, &i.Parent,
		&acked, &until, &i.AckedBy, &i.Suppressed, &i.Flapping,
	}, more...)...)
	if err != nil {
		return i, err
	}
	i.OpenedAt, i.LastAt, i.ResolvedAt = instant(opened), instant(last), instant(resolved)
	i.LastGood, i.FirstBad, i.AckedAt, i.AckedUntil = instant(good), instant(bad), instant(acked), instant(until)
	i.At = i.LastAt
	if err := unpack(channels, &i.Channels); err != nil {
		return i, fmt.Errorf("channels of incident %s: %w", i.ID, err)
	}
	return i, nil
}

// Incidents returns the incidents that f selects, newest first.
func (r *Reader) Incidents(ctx context.Context, f runner.IncidentFilter) ([]runner.Incident, error) {
	const what = "list incidents"
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if unstorable(f.Fingerprint, f.Before) {
		return nil, nil
	}
	if !f.EndedSince.IsZero() {
		list, err := r.selectIncidents(ctx, endedSince(f, limit))
		return list, r.explain(ctx, what, err)
	}
	states := f.States
	if len(states) == 0 && f.Fingerprint != "" {
		states = []runner.IncidentState{runner.IncidentOpen, runner.IncidentResolved}
	}
	ranges := columnValues("state", states)
	for i := range ranges {
		if f.Fingerprint != "" {
			ranges[i] = append(keyRange{{"fingerprint", f.Fingerprint}}, ranges[i]...)
		}
	}
	q := new(query)
	q.newestOf("incidents", []string{"id"}, ranges, []any{""}, []any{idBound(f.Before)}, limit)
	list, err := r.selectIncidents(ctx, q)
	return list, r.explain(ctx, what, err)
}

// endedSince selects the IDs of incidents that are open, and of those that were
// resolved since then: one range of an index each. All of these are looked at,
// however few are wanted.
func endedSince(f runner.IncidentFilter, limit int) *query {
	q := new(query)
	q.add("SELECT id FROM (SELECT id, fingerprint FROM incidents WHERE 1 = 0")
	for _, state := range []runner.IncidentState{runner.IncidentOpen, runner.IncidentResolved} {
		switch {
		case len(f.States) > 0 && !slices.Contains(f.States, state):
		case state == runner.IncidentOpen:
			q.add(" UNION ALL SELECT id, fingerprint FROM incidents WHERE state = 'open'")
		default:
			q.add(" UNION ALL SELECT id, fingerprint FROM incidents WHERE state = 'resolved' AND resolved_at >= ?", ceilMicro(f.EndedSince))
		}
	}
	q.add(") AS parts WHERE id < ?", idBound(f.Before))
	if f.Fingerprint != "" {
		q.add(" AND fingerprint = ?", f.Fingerprint)
	}
	q.add(fmt.Sprintf(" ORDER BY id DESC LIMIT %d", limit))
	return q
}

// selectIncidents returns the incidents whose IDs q yields, newest first.
func (r *Reader) selectIncidents(ctx context.Context, ids *query) ([]runner.Incident, error) {
	var list []runner.Incident
	text := "SELECT " + incidentColumns + " FROM incidents WHERE id IN (" + ids.text.String() + ") ORDER BY id DESC"
	err := r.reading().each(ctx, text, ids.args, func(rows *sql.Rows) error {
		i, err := scanIncident(rows)
		list = append(list, i)
		return err
	})
	return list, err
}

// Incident returns one incident by its ID or an unambiguous beginning of it, in
// either case of letters.
func (r *Reader) Incident(ctx context.Context, idOrPrefix string) (runner.Incident, error) {
	prefix := strings.ToLower(strings.TrimSpace(idOrPrefix))
	what := fmt.Sprintf("look up incident %q", clean(idOrPrefix, maxName))
	if prefix == "" || strings.Trim(prefix, "0123456789abcdef-") != "" {
		return runner.Incident{}, fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	}
	ids := new(query)
	ids.add(fmt.Sprintf("SELECT id FROM incidents WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT %d", ambiguousShown), prefix, prefix+idEnd)
	list, err := r.selectIncidents(ctx, ids)
	switch {
	case err != nil:
		return runner.Incident{}, r.explain(ctx, what, err)
	case len(list) == 0:
		return runner.Incident{}, fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	case len(list) > 1:
		failure := &runner.AmbiguousError{Of: "incident", Prefix: prefix}
		for _, i := range list {
			failure.IDs = append(failure.IDs, runner.RunID(i.ID))
		}
		return runner.Incident{}, failure
	}
	return list[0], nil
}
