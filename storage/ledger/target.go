package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// maxExpired bounds how many runs one call of Expire ends.
const maxExpired = 500

// targetOfRun is runner.Request.Place as a column of runs.
const targetOfRun = "CASE WHEN host <> '' THEN 'node:' || host ELSE target END"

// mayExecute tells whether this node may execute a run. An SQLite ledger has one
// executor, whatever the node was called when a run was recorded.
func (l *Ledger) mayExecute(run runner.Run) bool {
	_, ofNode := run.Place().Node()
	return ofNode && l.d.local || run.Place().Fits(l.o.Node, l.o.Labels)
}

// Deliveries returns what a queue needs to know of those of the runs that are
// open, in the order of their IDs.
func (r *Reader) Deliveries(ctx context.Context, ids ...runner.RunID) ([]runner.Delivery, error) {
	var list []runner.Delivery
	for chunk := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(ids))), inChunk) {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		err := r.reading().each(ctx, "SELECT id, epoch, "+deliveredTo(r.d)+" FROM runs WHERE id IN ("+marks(len(chunk))+") AND "+isOpen+" ORDER BY id", args, func(rows *sql.Rows) error {
			var d runner.Delivery
			err := rows.Scan(&d.Run, &d.Epoch, &d.Target)
			list = append(list, d)
			return err
		})
		if err != nil {
			return nil, r.explain(ctx, fmt.Sprintf("look up %d runs for their delivery", len(ids)), err)
		}
	}
	return list, nil
}

// Expire makes those queued runs Skipped as missed that have not begun by their
// StartBy, by the clock of the database, oldest first and at most 500 at once,
// and returns them. Runs that wait for approval, those that began once and were
// given back, and those that wait in line behind a run that is under way are
// left alone, and so is the share of a node that is alive: it begins as soon as
// that node has room.
func (l *Ledger) Expire(ctx context.Context) ([]runner.RunID, error) {
	type late struct {
		id      runner.RunID
		epoch   int64
		target  runner.Target
		startBy int64
	}
	var some int
	err := l.reading().row(ctx, "SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE state = 'queued' AND start_by IS NOT NULL AND start_by < "+l.d.now+" LIMIT 1) AS late").Scan(&some)
	if err != nil || some == 0 {
		return nil, l.explain(ctx, "look for runs that did not begin in time", err)
	}
	var expired []runner.RunID
	err = l.transact(ctx, "expire runs that did not begin in time", func(ctx context.Context, s session) error {
		expired = nil
		var list []late
		query := `SELECT id, epoch, ` + targetOfRun + `, start_by FROM runs WHERE state = 'queued' AND start_by IS NOT NULL AND start_by < ` + s.d.now + `
			AND started_at IS NULL AND (approval = 0 OR approved_by <> '')
			AND (host = '' OR NOT EXISTS (SELECT 1 FROM nodes n WHERE n.name = runs.host AND (n.lease_until IS NULL OR n.lease_until > ` + s.d.now + `)))
			AND (overlap <> 'queue' OR dry_run = 1 OR NOT EXISTS (SELECT 1 FROM runs o WHERE o.workflow = runs.workflow AND o.host = runs.host AND o.state = 'running' AND o.dry_run = 0))
			ORDER BY start_by, id LIMIT ` + fmt.Sprint(maxExpired)
		err := s.each(ctx, query, nil, func(rows *sql.Rows) error {
			var w late
			err := rows.Scan(&w.id, &w.epoch, &w.target, &w.startBy)
			list = append(list, w)
			return err
		})
		if err != nil {
			return err
		}
		for _, w := range list {
			why := fmt.Sprintf("it was to begin by %s, and %s did not take it up", time.UnixMicro(w.startBy).UTC().Format(time.RFC3339), w.target)
			changed, err := s.exec(ctx, "UPDATE runs SET state = ?, reason = ?, message = ?, finished_at = ? WHERE id = ? AND state = ? AND epoch = ? AND started_at IS NULL",
				runner.Skipped, runner.ReasonMissed, cleanLine(why, maxLine), micros(time.Now()), w.id, runner.Queued, w.epoch)
			if err != nil {
				return err
			}
			if changed == 1 {
				expired = append(expired, w.id)
			}
		}
		return l.judge(ctx, s, expired)
	})
	return expired, err
}
