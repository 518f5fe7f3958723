package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// heldIncident is an incident that nobody else changes until the transaction
// ends.
type heldIncident struct {
	runner.Incident
	// waiting are the channels that are told when the suppression ends.
	waiting []string
	// told is the severity that was told last; empty for none.
	told jobs.Severity
	// releaseAt is when the suppression by a fault that is over ends; zero
	// while that fault lasts, and for other suppressions.
	releaseAt time.Time
	// steadyAt is when an incident that comes and goes counts as steady, and
	// recoveredAt since when it is well; zero while it is not.
	steadyAt, recoveredAt time.Time
	// changesAt is when the window closes or the job is forgotten that keeps it
	// from being told, or the next window opens that will; zero for never. It is
	// not on record.
	changesAt time.Time
}

// heldColumns are what scanHeld reads, from incidents.
const heldColumns = incidentColumns + ", waiting, told, release_at, steady_at, recovered_at"

func scanHeld(row scanner) (*heldIncident, error) {
	i := new(heldIncident)
	var waiting string
	var release, steady, recovered sql.NullInt64
	var err error
	i.Incident, err = scanIncident(row, &waiting, &i.told, &release, &steady, &recovered)
	if err != nil {
		return nil, err
	}
	i.releaseAt, i.steadyAt, i.recoveredAt = instant(release), instant(steady), instant(recovered)
	if err := unpack(waiting, &i.waiting); err != nil {
		return nil, fmt.Errorf("waiting channels of incident %s: %w", i.ID, err)
	}
	return i, nil
}

// holdIncident keeps one incident from being changed by others until the
// transaction ends; runner.ErrNotFound when there is none.
func holdIncident(ctx context.Context, s session, where string, args ...any) (*heldIncident, error) {
	i, err := scanHeld(s.row(ctx, "SELECT "+heldColumns+" FROM incidents i WHERE "+where+s.d.lockHeld, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, runner.ErrNotFound
	}
	return i, err
}

// save records everything that may have changed since the incident opened.
func (i *heldIncident) save(ctx context.Context, s session) error {
	channels, err := pack(i.Channels)
	if err != nil {
		return fmt.Errorf("channels: %w", err)
	}
	waiting, err := pack(i.waiting)
	if err != nil {
		return fmt.Errorf("waiting channels: %w", err)
	}
	_, err = s.exec(ctx, `UPDATE incidents SET workflow = ?, severity = ?, reason = ?, title = ?, run = ?, channels = ?, state = ?,
			last_at = ?, resolved_at = ?, resolver = ?, check_name = ?, last_good = ?, first_bad = ?, parent = ?,
			acked_at = ?, acked_until = ?, acked_by = ?, suppressed = ?, release_at = ?, waiting = ?, told = ?, flapping = ?, steady_at = ?, recovered_at = ?
		WHERE id = ?`,
		i.Workflow, i.Severity, i.Reason, i.Title, i.Fault.Run, channels, i.State,
		i.LastAt.UnixMicro(), micros(i.ResolvedAt), i.Resolver, i.Check, micros(i.LastGood), micros(i.FirstBad), i.Parent,
		micros(i.AckedAt), micros(i.AckedUntil), i.AckedBy, i.Suppressed, micros(i.releaseAt), waiting, i.told, bit(i.Flapping), micros(i.steadyAt), micros(i.recoveredAt),
		i.ID)
	return err
}

// record is what a transaction adds about incidents: entries of timelines and
// notices, which go to the database together at its end.
type record struct {
	entries []incidentEntry
	notices []owedNotice
}

// owedNotice is a notice with its place in the order of those of its incident.
type owedNotice struct {
	runner.Notice
	turn int64
}

func (r *record) entry(i *heldIncident, at time.Time, kind runner.EntryKind, text, by string) {
	r.entries = append(r.entries, incidentEntry{i.ID, runner.Entry{At: at, Kind: kind, Text: text, By: by}})
}

// owe adds one notice for each channel.
func (r *record) owe(n runner.Notice, turn int64, channels ...string) {
	for _, channel := range channels {
		n.Channel = channel
		r.notices = append(r.notices, owedNotice{n, turn})
	}
}

// write puts what was added on record.
func (r *record) write(ctx context.Context, s session, now time.Time) error {
	if err := insertEntries(ctx, s, r.entries); err != nil {
		return err
	}
	return insertNotices(ctx, s, r.notices, now)
}

// toldState is what a channel was told about an incident, and what it is owed.
type toldState struct {
	// heard tells that something reached the channel that says that the
	// incident is open, or may reach it yet; covers, that what waits to be sent
	// will say how the incident is then.
	heard, covers bool
	// reached tells that anything reached it, or may reach it yet.
	reached bool
	// owed tells that anything is owed.
	owed bool
}

// toldStates returns what the channels were told about an incident, and the
// turn of the next notice. Nobody takes one of its notices until the
// transaction ends, so that what is told then is how it is then.
func toldStates(ctx context.Context, s session, incident string) (map[string]toldState, int64, error) {
	states, next := map[string]toldState{}, int64(0)
	err := s.each(ctx, "SELECT n.channel, n.action, n.state, n.turn FROM notices n WHERE n.incident = ?"+s.d.lockNotice, []any{incident}, func(rows *sql.Rows) error {
		var channel string
		var action runner.NoticeAction
		var state runner.NoticeState
		var turn int64
		if err := rows.Scan(&channel, &action, &state, &turn); err != nil {
			return err
		}
		t := states[channel]
		if slices.Contains(openActions(), action) {
			t.heard = t.heard || state == runner.NoticeSent || state == runner.NoticeSending
			t.covers = t.covers || state == runner.NoticePending
		}
		t.reached = t.reached || state == runner.NoticeSent || state == runner.NoticeSending
		t.owed = t.owed || state == runner.NoticePending || state == runner.NoticeSending
		states[channel], next = t, max(next, turn+1)
		return nil
	})
	return states, next, err
}

// openActions are the actions that say that an incident is open.
func openActions() []runner.NoticeAction {
	return []runner.NoticeAction{runner.NoticeOpen, runner.NoticeWorse, runner.NoticeRepeat}
}

// nextSeq returns the Seq of the next notice of an action about an incident.
func nextSeq(ctx context.Context, s session, incident string, action runner.NoticeAction, first int) (int, error) {
	var seq sql.NullInt64
	err := s.row(ctx, "SELECT MAX(n.seq) FROM notices n WHERE n.incident = ? AND n.action = ? AND n.seq >= ?", incident, action, first).Scan(&seq)
	if err != nil || !seq.Valid {
		return first, err
	}
	return int(seq.Int64) + 1, nil
}
