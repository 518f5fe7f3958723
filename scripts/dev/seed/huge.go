package seed

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs"
)

// HugeWorkflows is how many workflows Huge configures, "w-00" and so on. Of
// them w-07 always fails.
const HugeWorkflows = 50

// hugeSpan is how far back the runs of Huge go.
const hugeSpan = 400 * 24 * time.Hour

// Huge is a system with a long past: o.Runs runs of 50 workflows in 400 days,
// 10,000 incidents, 30 days of samples of ten checks.
func Huge(ctx context.Context, o Options) error {
	return o.begin(ctx, hugeConfig(o), func(cfg *configs.Config, b *book) error {
		if err := b.specs(ctx, cfg); err != nil {
			return err
		}
		if err := b.calendars(ctx, cfg, o.Now.Add(-hugeSpan), o.Now); err != nil {
			return err
		}
		return b.huge(ctx, cfg, o)
	})
}

// hugeConfig is the configuration of Huge. Its schedules lie ahead, so that
// nothing runs beside a measurement.
func hugeConfig(o Options) string {
	var b strings.Builder
	later := o.Now.UTC().Add(12 * time.Hour)
	fmt.Fprintf(&b, "project: huge\nnode: db-1\ntimezone: UTC\nballast: off\nledger: sqlite:var/upkeep.db\nweb: %s\nhistory: {keep: 500d, runs: 1000000, bytes: 1GiB}\n", o.Web)
	b.WriteString("checks:\n")
	for i := range 10 {
		fmt.Fprintf(&b, "  c-%d: {kind: system, every: 10m, with: {memory: {warn: 99%%, crit: 100%%}}}\n", i)
	}
	b.WriteString("workflows:\n")
	for i := range HugeWorkflows {
		rule := fmt.Sprintf("daily: %q", fmt.Sprintf("%02d:%02d", later.Hour(), i))
		switch i % 10 {
		case 3:
			rule = fmt.Sprintf("weekly: %q", fmt.Sprintf("%s %02d:%02d", strings.ToLower(later.Weekday().String()[:3]), later.Hour(), i))
		case 4:
			rule = fmt.Sprintf("cron: %q", fmt.Sprintf("%d */6 * * *", (o.Now.Minute()+55)%60))
		}
		fmt.Fprintf(&b, "  w-%02d:\n    description: The work number %d of a system with a long past\n    schedule: {%s}\n    catch_up: {run: none}\n    alert: {off: true}\n    jobs:\n"+
			"      backup: {kind: script, with: {run: [/bin/true]}}\n      prune: {kind: script, needs: [backup], with: {run: [/bin/true]}}\n", i, i, rule)
	}
	return b.String()
}

// huge fills the tables by statements that the database works off by itself.
func (b *book) huge(ctx context.Context, cfg *configs.Config, o Options) error {
	step := hugeSpan / time.Duration(max(o.Runs, 1))
	start := o.Now.Add(-hugeSpan)
	values := strings.NewReplacer(
		"{micros}", fmt.Sprintf("(%d + i * %d)", start.UnixMicro(), step.Microseconds()),
		"{id}", idSQL(start, step),
		"{workflow}", fmt.Sprintf("printf('w-%%02d', i %% %d)", HugeWorkflows),
		"{digest}", digestsSQL(cfg),
		"{state}", fmt.Sprintf("CASE WHEN i %% 10007 = 11 THEN 'lost' WHEN i %% %d = 7 OR i %% 997 = 5 THEN 'failed' WHEN i %% 101 = 4 THEN 'warned' WHEN i %% 1009 = 9 THEN 'canceled' ELSE 'succeeded' END", HugeWorkflows),
		"{trigger}", "CASE WHEN i % 1000 = 999 THEN 'manual' ELSE 'schedule' END",
		"{took}", "(2000000 + i * 7919 % 30000000)",
	)
	const runs = `INSERT INTO runs (id, workflow, slot, host, trigger, spec, params, jobs, dry_run, requested_by, state, reason, message,
			owner, node, epoch, canceled_by, reopened_by, queued_at, started_at, finished_at, overlap, slots)
		SELECT {id}, {workflow}, {micros}, '', {trigger}, {digest}, '', '', 0, 'cron', {state},
			CASE WHEN {state} IN ('succeeded', 'warned') THEN '' ELSE 'error' END, CASE WHEN {state} = 'failed' THEN 'job backup: exit status 1' ELSE '' END,
			'0199aaaa-0000-7000-8000-000000000000', 'db-1', 1, '', '', {micros}, {micros} + 5000, {micros} + {took}, 'skip', 1 FROM `
	const attempts = `INSERT INTO attempts (run, job, number, kind, workflow, dry_run, epoch, state, reason, error, hint, exit_code,
			started_at, finished_at, result, superseded, output_bytes, output_cut)
		SELECT {id}, 'backup', 1, 'script', {workflow}, 0, 1, {state}, CASE WHEN {state} IN ('succeeded', 'warned') THEN '' ELSE 'error' END,
			CASE WHEN {state} = 'failed' THEN 'exit status 1' ELSE '' END, '', CASE WHEN {state} = 'failed' THEN 1 ELSE -1 END, {micros} + 9000, {micros} + {took} - 1000,
			'{"summary":"12 MB in 3 s","values":{"bytes":' || (12000000 + i) || ',"duration_seconds":' || ({took} / 1000000) || '}}', 0, 0, 0 FROM `
	const chunk = 100_000
	for from := 0; from < o.Runs; from += chunk {
		source := seriesSQL(from, min(from+chunk, o.Runs)-1)
		if err := b.inOne(ctx, values.Replace(runs)+source, values.Replace(attempts)+source); err != nil {
			return fmt.Errorf("record %d runs: %w", chunk, err)
		}
	}
	if err := b.hugeIncidents(ctx, o, min(10_000, o.Runs/10)); err != nil {
		return err
	}
	if err := b.hugeSamples(ctx, cfg, o); err != nil {
		return err
	}
	_, err := b.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// hugeIncidents records n incidents, the newest twenty of them open, each with
// its timeline and two notices, and as many events.
func (b *book) hugeIncidents(ctx context.Context, o Options, n int) error {
	step := hugeSpan / time.Duration(max(n, 1))
	start := o.Now.Add(-hugeSpan)
	values := strings.NewReplacer(
		"{at}", fmt.Sprintf("(%d + i * %d)", start.UnixMicro(), step.Microseconds()), "{id}", idSQL(start, step),
		"{open}", fmt.Sprintf("i >= %d", n-20), "{workflow}", fmt.Sprintf("printf('w-%%02d', i %% %d)", HugeWorkflows),
	)
	source := seriesSQL(0, n-1)
	var list []string
	for _, text := range []string{
		`INSERT INTO incidents (id, fingerprint, workflow, severity, reason, title, run, channels, state, count, opened_at, last_at, resolved_at, resolver, told)
			SELECT {id}, 'workflow/' || {workflow} || CASE WHEN {open} THEN '/' || i ELSE '' END, {workflow}, CASE WHEN i % 3 = 0 THEN 'critical' ELSE 'warning' END, 'failed', {workflow} || ' failed: exit status 1', '', '["ops"]',
			CASE WHEN {open} THEN 'open' ELSE 'resolved' END, 1 + i % 5, {at}, {at} + 60000000, CASE WHEN {open} THEN NULL ELSE {at} + 900000000 END, '', 'warning' FROM `,
		`INSERT INTO entries (incident, at, kind, name, text, made_by) SELECT {id}, {at}, 'opened', '', {workflow} || ' failed: exit status 1', '' FROM `,
		`INSERT INTO entries (incident, at, kind, name, text, made_by) SELECT {id}, {at} + 900000000, 'resolved', '', '', '' FROM `,
		`INSERT INTO notices (id, incident, channel, action, combined, subject, text, state, attempts, owner, created_at, next_at, ended_at, receipt, error)
			SELECT {id}, {id}, 'ops', 'open', 0, '', '', 'sent', 1, '', {at}, {at}, {at} + 1000000, '250 ok', '' FROM `,
		`INSERT INTO events (id, kind, subject, text, made_by, at) SELECT {id}, 'deploy', 'api', '1.' || i, 'pipeline', {at} FROM `,
	} {
		list = append(list, values.Replace(text)+source)
	}
	if err := b.inOne(ctx, list...); err != nil {
		return fmt.Errorf("record %d incidents: %w", n, err)
	}
	return nil
}

// hugeSamples records what the checks measured in 30 days: every five minutes,
// folded, and every 30 seconds in the last day.
func (b *book) hugeSamples(ctx context.Context, cfg *configs.Config, o Options) error {
	const fold, raw = 300, 30
	day := o.Now.Add(-24 * time.Hour).Truncate(fold * time.Second)
	from := o.Now.Add(-30 * 24 * time.Hour).Truncate(fold * time.Second)
	id := 0
	for _, c := range cfg.Checks {
		for _, what := range []string{"up", "seconds"} {
			id++
			value := "1.0"
			if what == "seconds" {
				value = "(0.01 + i * 7919 % 1000 / 10000.0)"
			}
			err := b.inOne(ctx,
				fmt.Sprintf("INSERT INTO series (id, name, first_at, last_at, value) VALUES (%d, 'check.%s.%s', %d, %d, 1.0)", id, c.Name, what, from.UnixMicro(), o.Now.UnixMicro()),
				fmt.Sprintf("INSERT INTO samples (series, length, at, count, sum, low, high) SELECT %d, %d, %d + i * %d, 10, 10 * %s, %s, %s FROM %s",
					id, fold*1_000_000, from.UnixMicro(), fold*1_000_000, value, value, value, seriesSQL(0, int(day.Sub(from).Seconds())/fold-1)),
				fmt.Sprintf("INSERT INTO samples (series, length, at, count, sum, low, high) SELECT %d, 0, %d + i * %d, 1, %s, %s, %s FROM %s",
					id, day.UnixMicro(), raw*1_000_000, value, value, value, seriesSQL(0, int(o.Now.Sub(day).Seconds())/raw-1)))
			if err != nil {
				return fmt.Errorf("record samples of %s: %w", c.Name, err)
			}
		}
	}
	return nil
}

// inOne executes statements in one transaction.
func (b *book) inOne(ctx context.Context, statements ...string) error {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to undo
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%w\n%s", err, s)
		}
	}
	return tx.Commit()
}

// idSQL writes the ID of row i, recorded i steps after start.
func idSQL(start time.Time, step time.Duration) string {
	hex := fmt.Sprintf("printf('%%012x', (%d + i * %d) / 1000)", start.UnixMicro(), step.Microseconds())
	return fmt.Sprintf("substr(%s, 1, 8) || '-' || substr(%s, 9, 4) || '-7000-8000-' || printf('%%012x', i)", hex, hex)
}

// digestsSQL picks the digest of the workflow of row i.
func digestsSQL(cfg *configs.Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CASE i %% %d", HugeWorkflows)
	for i, w := range cfg.Workflows {
		fmt.Fprintf(&b, " WHEN %d THEN '%s'", i, w.Spec.Digest)
	}
	return b.String() + " END"
}

// seriesSQL yields the numbers from first to last as i.
func seriesSQL(first, last int) string {
	return fmt.Sprintf("(WITH RECURSIVE s(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i FROM s)", first, last)
}
