package ledger

import (
	"context"
	"database/sql"
	"maps"
	"strings"

	"github.com/ghosteam/upkeep/runner"
)

// LivePiece is a part of what a running attempt of this instance has written.
type LivePiece struct {
	Key runner.AttemptKey
	// Place is that of the first byte in all that the attempt wrote.
	Place int64
	Bytes []byte
}

// LiveGap is what the pieces of an attempt need no longer hold: those whose
// first bytes lie from From up to, and without, To.
type LiveGap struct {
	Key      runner.AttemptKey
	From, To int64
}

// Mirror puts pieces on record for those who look from another node, and drops
// others. Only attempts of runs that this instance holds are written, by one
// statement for all of them; a piece that is there stays. What is written may be
// lost with the database's memory, and goes when the attempt ends.
func (l *Ledger) Mirror(ctx context.Context, pieces []LivePiece, gaps []LiveGap) error {
	insert, args := l.mirrorQuery(pieces)
	if insert == "" {
		return nil
	}
	write := func(ctx context.Context, s session) error {
		if _, err := s.exec(ctx, insert, args...); err != nil {
			return err
		}
		for _, g := range gaps {
			if _, err := s.exec(ctx, "DELETE FROM live_outputs WHERE run = ? AND job = ? AND number = ? AND place >= ? AND place < ?",
				g.Key.Run, g.Key.Job, g.Key.Number, g.From, g.To); err != nil {
				return err
			}
		}
		return nil
	}
	const what = "show others what attempts write"
	if l.group != nil {
		return l.transact(ctx, what, write)
	}
	// What is not logged needs no transaction.
	return l.explain(ctx, what, write(ctx, session{on: l.write, d: l.d}))
}

// mirrorQuery writes the statement for pieces of runs that this instance holds;
// it is empty when there are none.
func (l *Ledger) mirrorQuery(pieces []LivePiece) (string, []any) {
	bytesType := "BYTEA"
	if l.d.local {
		bytesType = "BLOB"
	}
	row := "SELECT CAST(? AS TEXT) AS run, CAST(? AS TEXT) AS job, CAST(? AS BIGINT) AS number, CAST(? AS BIGINT) AS epoch, CAST(? AS BIGINT) AS place, CAST(? AS " + bytesType + ") AS bytes"
	var rows []string
	var args []any
	owner := l.Instance()
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.mirrored, func(key runner.AttemptKey, _ struct{}) bool {
		_, held := l.claims[key.Run]
		return !held
	})
	for _, p := range pieces {
		epoch, held := l.claims[p.Key.Run]
		if !held || len(p.Bytes) == 0 {
			continue
		}
		rows = append(rows, row)
		args = append(args, p.Key.Run, p.Key.Job, p.Key.Number, epoch, p.Place, p.Bytes)
		if l.mirrored == nil {
			l.mirrored = map[runner.AttemptKey]struct{}{}
		}
		l.mirrored[p.Key] = struct{}{}
	}
	if len(rows) == 0 {
		return "", nil
	}
	return `INSERT INTO live_outputs (run, job, number, epoch, place, bytes)
		SELECT v.run, v.job, v.number, v.epoch, v.place, v.bytes FROM (` + strings.Join(rows, " UNION ALL ") + `) AS v
		JOIN runs r ON r.id = v.run AND r.epoch = v.epoch
		JOIN attempts a ON a.run = v.run AND a.job = v.job AND a.number = v.number AND a.state = 'running'
		WHERE r.owner = ? AND r.state = 'running'
		ON CONFLICT (run, job, number, epoch, place) DO NOTHING`, append(args, owner)
}

// hasMirrored tells whether pieces of an attempt that ends may be on record.
// Those of an attempt of a dead process are of no use either.
func (l *Ledger) hasMirrored(run runner.RunID, a runner.Attempt) bool {
	key := runner.AttemptKey{Run: run, Job: a.Job, Number: a.Number}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, found := l.mirrored[key]
	return found || a.State == runner.Lost || a.Planned != ""
}

// dropPieces drops what was shown of an attempt while it ran.
func dropPieces(ctx context.Context, s session, key runner.AttemptKey) error {
	_, err := s.exec(ctx, "DELETE FROM live_outputs WHERE run = ? AND job = ? AND number = ?", key.Run, key.Job, key.Number)
	return err
}

// mirroredOutput returns what the newest owner of an attempt has shown of it:
// the first bytes as far as there is no gap, and the last ones.
func (r *Reader) mirroredOutput(ctx context.Context, key runner.AttemptKey) (runner.Output, bool, error) {
	var out runner.Output
	newest, end, found, gap := int64(0), int64(0), false, false
	err := r.reading().each(ctx, "SELECT epoch, place, bytes FROM live_outputs WHERE run = ? AND job = ? AND number = ? ORDER BY epoch, place",
		[]any{key.Run, key.Job, key.Number}, func(rows *sql.Rows) error {
			var epoch, place int64
			var text []byte
			if err := rows.Scan(&epoch, &place, &text); err != nil {
				return err
			}
			if found = true; epoch != newest {
				out, newest, end, gap = runner.Output{}, epoch, 0, false
			}
			switch {
			case place < end: // it is there
			case place > end:
				out.Tail, gap, end = text, true, place+int64(len(text))
			case gap:
				out.Tail, end = append(out.Tail, text...), end+int64(len(text))
			default:
				out.Head, end = append(out.Head, text...), end+int64(len(text))
			}
			return nil
		})
	out.Cut = end - int64(len(out.Head)) - int64(len(out.Tail))
	return out, found, err
}

// pruneLive drops pieces that were written just when their attempt ended, or
// whose run is gone.
func (l *Ledger) pruneLive(ctx context.Context) error {
	return l.transact(ctx, "drop what was shown of ended attempts", func(ctx context.Context, s session) error {
		const same = "%.run = live_outputs.run AND %.job = live_outputs.job AND %.number = live_outputs.number"
		_, err := s.exec(ctx, "DELETE FROM live_outputs WHERE EXISTS (SELECT 1 FROM outputs o WHERE "+strings.ReplaceAll(same, "%", "o")+
			") OR NOT EXISTS (SELECT 1 FROM attempts a WHERE "+strings.ReplaceAll(same, "%", "a")+")")
		return err
	})
}
