package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// lag is a share of starts, in milliseconds.
type lag struct{ median, p99, most float64 }

// clusterBurst measures n workflows that are due in the same second.
func clusterBurst(ctx context.Context, binary string, nodes, workflows int) (err error) {
	// All must be there by then.
	wait := 10*time.Second + time.Duration(nodes)*(time.Second+time.Duration(workflows)*300*time.Microsecond)
	slot := time.Now().Add(wait).UTC().Truncate(time.Second)
	cron := fmt.Sprintf("%d %d %d %d %d *", slot.Second(), slot.Minute(), slot.Hour(), slot.Day(), slot.Month())
	f, err := newFleet(ctx, binary, nodes, manyWorkflows(workflows, fmt.Sprintf("cron: %q", cron)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.end(ctx)) }()
	if late := time.Since(slot); late > 0 {
		return fmt.Errorf("%d nodes with %d workflows were ready %s after the slot", nodes, workflows, late)
	}
	before, err := f.load(ctx)
	if err != nil {
		return err
	}
	time.Sleep(time.Until(slot))
	c, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	if err := awaitRuns(ctx, c, workflows); err != nil {
		return err
	}
	time.Sleep(time.Second) // the server counts with a delay
	after, err := f.load(ctx)
	if err != nil {
		return err
	}
	var starts lag
	var took, share float64
	err = c.QueryRow(ctx, `SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY l), percentile_cont(0.99) WITHIN GROUP (ORDER BY l), MAX(l), MAX(took),
			(SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM upkeep.runs WHERE state = 'succeeded' GROUP BY node) shares) / CAST(COUNT(*) AS double precision)
		FROM (SELECT (a.started_at - r.slot) / 1000.0::double precision AS l, (r.finished_at - r.slot) / 1000.0::double precision AS took
			FROM upkeep.runs r JOIN upkeep.attempts a ON a.run = r.id WHERE r.state = 'succeeded') each`).Scan(&starts.median, &starts.p99, &starts.most, &took, &share)
	if err != nil {
		return fmt.Errorf("read how the runs started: %w", err)
	}
	n := float64(workflows)
	fmt.Printf("| %d | %d | %.0f | %.0f | %.0f | %.0f | %.0f | %.2f | %.2f | %.1f | %.0f %% |\n", nodes, workflows, starts.median, starts.p99, starts.most, took, n/took*1000,
		milliseconds(after.nodes-before.nodes)/n, milliseconds(after.backends-before.backends)/n, float64(after.transactions-before.transactions)/n, 100*share)
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// awaitRuns returns when so many runs have succeeded.
func awaitRuns(ctx context.Context, c *pgx.Conn, n int) error {
	done := 0
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(250 * time.Millisecond) {
		if err := c.QueryRow(ctx, "SELECT COUNT(*) FROM upkeep.runs WHERE state = 'succeeded'").Scan(&done); err != nil {
			return fmt.Errorf("count the runs: %w", err)
		}
		if done >= n {
			return nil
		}
	}
	return fmt.Errorf("only %d of %d runs succeeded within 5 minutes", done, n)
}

// lightLoad measures how soon runs start on nodes that have time for them.
func lightLoad(ctx context.Context, binary string, nodes int, last time.Duration) (err error) {
	const workflows = 20
	f, err := newFleet(ctx, binary, nodes, manyWorkflows(workflows, "every: 1s"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.end(ctx)) }()
	time.Sleep(settleFor)
	before, err := f.load(ctx)
	if err != nil {
		return err
	}
	time.Sleep(last)
	after, err := f.load(ctx)
	if err != nil {
		return err
	}
	c, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	var queued, due lag
	var runs int
	err = c.QueryRow(ctx, `SELECT COUNT(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY q), percentile_cont(0.99) WITHIN GROUP (ORDER BY q), MAX(q),
			percentile_cont(0.5) WITHIN GROUP (ORDER BY s), percentile_cont(0.99) WITHIN GROUP (ORDER BY s)
		FROM (SELECT (r.started_at - r.queued_at) / 1000.0::double precision AS q, (a.started_at - r.slot) / 1000.0::double precision AS s
			FROM upkeep.runs r JOIN upkeep.attempts a ON a.run = r.id WHERE r.queued_at BETWEEN $1 AND $2) each`,
		before.at.UnixMicro(), after.at.UnixMicro()).Scan(&runs, &queued.median, &queued.p99, &queued.most, &due.median, &due.p99)
	if err != nil {
		return fmt.Errorf("read how the runs started: %w", err)
	}
	seconds := after.at.Sub(before.at).Seconds()
	transactions := float64(after.transactions - before.transactions)
	fmt.Printf("| %d | %.1f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.1f |\n", nodes, float64(runs)/seconds, queued.median, queued.p99, queued.most, due.median, due.p99,
		transactions/seconds, transactions/float64(max(runs, 1)))
	return nil
}

// idleCluster measures what nodes cost the database that have nothing to do.
func idleCluster(ctx context.Context, binary string, nodes, workflows int, last time.Duration) (err error) {
	far := time.Now().AddDate(0, 0, -2)
	f, err := newFleet(ctx, binary, nodes, manyWorkflows(workflows, fmt.Sprintf("monthly: \"%d 04:30\"", min(far.Day(), 28))))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.end(ctx)) }()
	time.Sleep(settleCluster)
	before, err := f.load(ctx)
	if err != nil {
		return err
	}
	time.Sleep(last)
	after, err := f.load(ctx)
	if err != nil {
		return err
	}
	seconds, n := after.at.Sub(before.at).Seconds(), float64(nodes)
	fmt.Printf("| %d | %d | %.1f | %.2f | %.3f %% | %.3f %% |\n", nodes, workflows, float64(after.connections)/n, float64(after.transactions-before.transactions)/seconds/n,
		100*(after.backends-before.backends).Seconds()/seconds/n, 100*(after.nodes-before.nodes).Seconds()/seconds/n)
	return nil
}
