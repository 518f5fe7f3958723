package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// foldChunk is how many rows one transaction folds at most.
const foldChunk = 2000

// pruneSamples deletes or counts samples that are older than r.Rest, and makes
// the past of all series coarser, as the grains say. What a longer grain folds
// may have been folded by a shorter one before.
func (l *Ledger) pruneSamples(ctx context.Context, r runner.Retention, pruned *runner.Pruned) error {
	all, err := l.Series(ctx, "")
	if err != nil {
		return err
	}
	for _, one := range all {
		if r.Rest > 0 {
			if err := l.dropSamples(ctx, one, r, pruned); err != nil {
				return err
			}
		}
		for _, g := range r.Grains {
			for more := !r.DryRun; more; {
				folded, err := l.foldOnce(ctx, one.Name, g, r.Now)
				if err != nil {
					return err
				}
				pruned.Folded += folded
				more = folded > 0
			}
		}
	}
	return nil
}

// dropSamples deletes or counts the samples of a series that are older than
// r.Rest, and the series when no sample is left.
func (l *Ledger) dropSamples(ctx context.Context, of runner.Series, r runner.Retention, pruned *runner.Pruned) error {
	before := r.Now.Add(-r.Rest).UnixMicro()
	if of.First.UnixMicro() >= before {
		return nil
	}
	lengths, err := l.lengthsOf(ctx, of.Name)
	if err != nil {
		return l.explain(ctx, "look for old samples of "+of.Name, err)
	}
	const old = "FROM samples WHERE series = (SELECT id FROM series WHERE name = ?) AND length = ? AND at < ?"
	for _, length := range lengths {
		if r.DryRun {
			count := 0
			if err := l.reading().row(ctx, "SELECT COUNT(*) "+old, of.Name, length, before).Scan(&count); err != nil {
				return l.explain(ctx, "count old samples of "+of.Name, err)
			}
			pruned.Samples += count
			continue
		}
		// The bound is found first, because PostgreSQL deletes without a LIMIT.
		for gone := int64(foldChunk); gone >= foldChunk; pruned.Samples += int(gone) {
			err := l.transact(ctx, "delete old samples of "+of.Name, func(ctx context.Context, s session) error {
				bound := before
				err := s.row(ctx, "SELECT at "+old+" ORDER BY series, length, at LIMIT 1 OFFSET ?", of.Name, length, before, foldChunk).Scan(&bound)
				if err == nil || errors.Is(err, sql.ErrNoRows) {
					gone, err = s.exec(ctx, "DELETE "+old, of.Name, length, bound)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	if r.DryRun || of.Last.UnixMicro() >= before {
		return nil
	}
	return l.transact(ctx, "forget series "+of.Name, func(ctx context.Context, s session) error {
		_, err := s.exec(ctx, "DELETE FROM series WHERE name = ? AND last_at < ?", of.Name, before)
		return err
	})
}

// stretch is a row of samples in numbers.
type stretch struct {
	length, at, count int64
	sum, low, high    float64
}

// foldOnce folds the oldest rows of a series that a grain wants longer, and
// returns how many they were. Whole stretches are folded, unless one has more
// rows than a transaction takes; then the rest joins it the next time.
func (l *Ledger) foldOnce(ctx context.Context, series string, g runner.Grain, now time.Time) (folded int, err error) {
	length := g.Length.Microseconds()
	before := beginOf(now.Add(-g.After).UnixMicro(), length)
	const of = "(SELECT id FROM series WHERE name = ?)"
	const query = `SELECT length, at, count, sum, low, high FROM samples
		WHERE series = ` + of + ` AND length < ? AND at < ? ORDER BY series, length, at LIMIT ?`
	err = l.transact(ctx, "fold old samples", func(ctx context.Context, s session) error {
		var rows []stretch
		err := s.each(ctx, query, []any{series, length, before, foldChunk}, func(r *sql.Rows) error {
			var one stretch
			err := r.Scan(&one.length, &one.at, &one.count, &one.sum, &one.low, &one.high)
			rows = append(rows, one)
			return err
		})
		if err != nil {
			return err
		}
		folded = len(rows)
		for _, f := range fold(rows, length) {
			const merge = `INSERT INTO samples (series, length, at, count, sum, low, high) VALUES (` + of + `, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (series, length, at) DO UPDATE SET count = samples.count + excluded.count, sum = samples.sum + excluded.sum,
				low = CASE WHEN excluded.low < samples.low THEN excluded.low ELSE samples.low END,
				high = CASE WHEN excluded.high > samples.high THEN excluded.high ELSE samples.high END`
			if _, err := s.exec(ctx, merge, series, f.length, f.at, f.count, f.sum, f.low, f.high); err != nil {
				return err
			}
		}
		for _, one := range rows {
			if _, err := s.exec(ctx, "DELETE FROM samples WHERE series = "+of+" AND length = ? AND at = ?", series, one.length, one.at); err != nil {
				return err
			}
		}
		return nil
	})
	return folded, err
}

// fold makes stretches of length out of shorter ones, which come in the order
// of time.
func fold(rows []stretch, length int64) []stretch {
	var out []stretch
	for _, one := range rows {
		at := beginOf(one.at, length)
		if n := len(out); n > 0 && out[n-1].at == at {
			last := &out[n-1]
			last.count, last.sum = last.count+one.count, last.sum+one.sum
			last.low, last.high = min(last.low, one.low), max(last.high, one.high)
			continue
		}
		one.at, one.length = at, length
		out = append(out, one)
	}
	return out
}

// beginOf returns the beginning of the stretch in which an instant lies, also
// before 1970.
func beginOf(at, length int64) int64 {
	rest := at % length
	if rest < 0 {
		rest += length
	}
	return at - rest
}
