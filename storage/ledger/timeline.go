package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// entryChunk is how many entries one INSERT takes.
	entryChunk = 50
	// maxEvidence bounds one piece of evidence, mostEvidence how many are kept
	// of an incident.
	maxEvidence  = 64 << 10
	mostEvidence = 32
	// mostEntries bounds what Timeline returns; what people and upkeep do to one
	// incident stays far below.
	mostEntries = 2000
)

// incidentEntry is an entry of the timeline of an incident.
type incidentEntry struct {
	incident string
	runner.Entry
}

// insertEntries adds to timelines, in this order.
func insertEntries(ctx context.Context, s session, list []incidentEntry) error {
	for chunk := range slices.Chunk(list, entryChunk) {
		const columns = 6
		args := make([]any, 0, columns*len(chunk))
		for _, e := range chunk {
			limit := maxLine
			if e.Kind == runner.EntryEvidence {
				limit = maxEvidence
			}
			args = append(args, e.incident, e.At.UnixMicro(), e.Kind, cleanLine(e.Name, maxName), clean(e.Text, limit), cleanLine(e.By, maxShortText))
		}
		if _, err := s.exec(ctx, "INSERT INTO entries (incident, at, kind, name, text, made_by) VALUES "+tuples(len(chunk), columns), args...); err != nil {
			return err
		}
	}
	return nil
}

// evidenceOf are the entries of what was found when an incident opened.
func evidenceOf(incident string, at time.Time, found []runner.Evidence) []incidentEntry {
	var list []incidentEntry
	for _, e := range found[:min(len(found), mostEvidence)] {
		list = append(list, incidentEntry{incident, runner.Entry{At: at, Kind: runner.EntryEvidence, Name: e.Name, Text: e.Text}})
	}
	return list
}

// Timeline returns the entries of an incident, the earliest first, those of one
// microsecond as they were recorded.
func (r *Reader) Timeline(ctx context.Context, incident string) ([]runner.Entry, error) {
	i, err := r.Incident(ctx, incident)
	if err != nil {
		return nil, err
	}
	var list []runner.Entry
	query := fmt.Sprintf("SELECT at, kind, name, text, made_by FROM entries WHERE incident = ? ORDER BY at, id LIMIT %d", mostEntries)
	err = r.reading().each(ctx, query, []any{i.ID}, func(rows *sql.Rows) error {
		var e runner.Entry
		var at sql.NullInt64
		err := rows.Scan(&at, &e.Kind, &e.Name, &e.Text, &e.By)
		e.At = instant(at)
		list = append(list, e)
		return err
	})
	return list, r.explain(ctx, "read the timeline of incident "+i.ID, err)
}
