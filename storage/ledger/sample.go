package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

var (
	_ runner.Sampler      = (*Ledger)(nil)
	_ runner.SampleReader = (*Reader)(nil)
)

const (
	// maxSeries bounds the series of a ledger.
	maxSeries = 10_000
	// usualSamples and mostSamples bound a list of samples.
	usualSamples, mostSamples = 1000, 100_000
)

// Observe records samples, all or none.
func (l *Ledger) Observe(ctx context.Context, samples ...runner.Sample) error {
	if len(samples) == 0 {
		return nil
	}
	what := fmt.Sprintf("record %d samples", len(samples))
	now := time.Now()
	list := slices.Clone(samples)
	for i, m := range list {
		switch {
		case !jobs.ValidSeries(m.Series):
			return fmt.Errorf("%s: the series %q: use a-z, 0-9, _, . and -, at most 250 of them", what, clean(m.Series, maxName))
		case math.IsNaN(m.Value) || math.IsInf(m.Value, 0):
			return fmt.Errorf("%s: the value of %s is %v, not a finite number", what, m.Series, m.Value)
		case m.At.IsZero():
			list[i].At = now
		}
	}
	// In this order two writers never wait for each other crosswise, and the
	// last value of a series is the one of its latest sample.
	slices.SortStableFunc(list, func(a, b runner.Sample) int {
		return cmp.Or(cmp.Compare(a.Series, b.Series), a.At.Compare(b.At))
	})
	return l.transact(ctx, what, func(ctx context.Context, s session) error {
		for _, m := range list {
			id, err := seriesOf(ctx, s, m)
			if err != nil {
				return err
			}
			const query = `INSERT INTO samples (series, length, at, count, sum, low, high) VALUES (?, 0, ?, 1, ?, ?, ?)
				ON CONFLICT (series, length, at) DO UPDATE SET sum = excluded.sum, low = excluded.low, high = excluded.high`
			if _, err := s.exec(ctx, query, id, m.At.UnixMicro(), m.Value, m.Value, m.Value); err != nil {
				return err
			}
		}
		return nil
	})
}

// seriesOf returns the key of a sample's series, which it makes or brings up to
// date.
func seriesOf(ctx context.Context, s session, m runner.Sample) (id int64, err error) {
	const update = `UPDATE series SET
		first_at = CASE WHEN first_at <= ? THEN first_at ELSE ? END,
		value = CASE WHEN last_at > ? THEN value ELSE ? END,
		last_at = CASE WHEN last_at > ? THEN last_at ELSE ? END WHERE name = ? RETURNING id`
	at := m.At.UnixMicro()
	err = s.row(ctx, update, at, at, at, m.Value, at, at, m.Series).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	var known int
	if err := s.row(ctx, "SELECT COUNT(*) FROM series").Scan(&known); err != nil {
		return 0, err
	}
	if known >= maxSeries {
		return 0, jobs.WithHint(fmt.Errorf("series %s: %w", m.Series, &jobs.RefusedError{Rail: "the number of series", Why: fmt.Sprintf("%d are on record, and no more are taken", known)}),
			"leave what never repeats, such as an identifier, out of the names")
	}
	const insert = `INSERT INTO series (name, first_at, last_at, value) VALUES (?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value, last_at = excluded.last_at RETURNING id`
	err = s.row(ctx, insert, m.Series, at, at, m.Value).Scan(&id)
	return id, err
}

// Series returns the series whose names begin with prefix, by name.
func (r *Reader) Series(ctx context.Context, prefix string) ([]runner.Series, error) {
	if unstorable(prefix) {
		return nil, nil // no series has such a name
	}
	var list []runner.Series
	// "~" is behind all that a name may hold.
	err := r.reading().each(ctx, "SELECT name, first_at, last_at, value FROM series WHERE name >= ? AND name < ? ORDER BY name", []any{prefix, prefix + "~"}, func(rows *sql.Rows) error {
		var one runner.Series
		var first, last int64
		err := rows.Scan(&one.Name, &first, &last, &one.Value)
		one.First, one.Last = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
		list = append(list, one)
		return err
	})
	return list, r.explain(ctx, "list the series", err)
}

// Samples returns what f selects in the order of time.
func (r *Reader) Samples(ctx context.Context, f runner.SampleFilter) ([]runner.Stretch, error) {
	what := "list samples of " + clean(f.Series, maxName)
	switch {
	case f.Limit < 0 || f.Limit > mostSamples:
		return nil, fmt.Errorf("%s: the limit is %d, not 1 to %d", what, f.Limit, mostSamples)
	case f.Limit == 0:
		f.Limit = usualSamples
	}
	if unstorable(f.Series) {
		return nil, nil
	}
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	if !f.Since.IsZero() {
		low = ceilMicro(f.Since)
	}
	if !f.Until.IsZero() {
		high = ceilMicro(f.Until)
	}
	lengths, err := r.lengthsOf(ctx, f.Series)
	if err != nil {
		return nil, r.explain(ctx, what, err)
	}
	var list []runner.Stretch
	for _, length := range lengths {
		const query = `SELECT at, length, count, sum, low, high FROM samples
			WHERE series = (SELECT id FROM series WHERE name = ?) AND length = ? AND at >= ? AND at < ? ORDER BY series DESC, length DESC, at DESC LIMIT ?`
		err := r.reading().each(ctx, query, []any{f.Series, length, low, high, f.Limit}, func(rows *sql.Rows) error {
			one, err := scanStretch(rows)
			list = append(list, one)
			return err
		})
		if err != nil {
			return nil, r.explain(ctx, what, err)
		}
	}
	slices.SortFunc(list, func(a, b runner.Stretch) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(b.Length, a.Length)) })
	return list[max(0, len(list)-f.Limit):], nil
}

// lengthsOf returns which lengths of stretches a series has, by as many looks
// into the key as there are lengths.
func (r *Reader) lengthsOf(ctx context.Context, series string) ([]int64, error) {
	const query = `WITH RECURSIVE one (id) AS (SELECT id FROM series WHERE name = ?), lengths (length) AS (
		SELECT MIN(length) FROM samples WHERE series = (SELECT id FROM one) UNION ALL
		SELECT (SELECT MIN(length) FROM samples WHERE series = (SELECT id FROM one) AND length > lengths.length) FROM lengths WHERE lengths.length IS NOT NULL)
		SELECT length FROM lengths WHERE length IS NOT NULL`
	var lengths []int64
	err := r.reading().each(ctx, query, []any{series}, func(rows *sql.Rows) error {
		var length int64
		err := rows.Scan(&length)
		lengths = append(lengths, length)
		return err
	})
	return lengths, err
}

func scanStretch(rows *sql.Rows) (runner.Stretch, error) {
	var at, length int64
	var one runner.Stretch
	err := rows.Scan(&at, &length, &one.Count, &one.Sum, &one.Low, &one.High)
	one.At, one.Length = time.UnixMicro(at).UTC(), time.Duration(length)*time.Microsecond
	return one, err
}
