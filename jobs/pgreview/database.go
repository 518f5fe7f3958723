package pgreview

import (
	"context"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// databaseCounters are the counters of the database.
type databaseCounters struct {
	Hits, Reads, TempBytes, TempFiles, Deadlocks int64
}

// readDatabase reads the counters of the database.
func (r *review) readDatabase(ctx context.Context) (databaseCounters, error) {
	all, err := ask[databaseCounters](ctx, r, `SELECT blks_hit, blks_read, temp_bytes, temp_files, deadlocks FROM pg_stat_database WHERE datname = current_database()`)
	if err != nil || len(all) == 0 {
		return databaseCounters{}, err
	}
	return all[0], nil
}

// askCacheHit judges how many blocks were found in the server's own memory; the
// rest may still have come from the system's.
func askCacheHit(ctx context.Context, r *review) error {
	c, err := r.readDatabase(ctx)
	if err != nil {
		return err
	}
	hits, from := r.grown("hits", c.Hits)
	reads, _ := r.grown("reads", c.Reads)
	if hits+reads < max(1, r.options.Cache.MinBlocks) {
		return nil
	}
	percent := 100 * float64(hits) / float64(hits+reads)
	r.values["cache_hit_percent"] = rounded(percent)
	if limit := r.options.Cache.Warn; limit > 0 && percent < float64(limit) {
		r.add(jobs.Warning, 0, "", fmt.Sprintf("%.1f %% of the blocks since %s were in the server's memory, limit %s (shared_buffers, or statements that read too much)", percent, day(from), limit), "")
	}
	return nil
}

// askTemporaryFiles judges what did not fit into work_mem.
func askTemporaryFiles(ctx context.Context, r *review) error {
	c, err := r.readDatabase(ctx)
	if err != nil {
		return err
	}
	bytes, from := r.grown("temp_bytes", c.TempBytes)
	files, _ := r.grown("temp_files", c.TempFiles)
	days := max(r.facts.At.Sub(from).Hours()/24, 1) // a shorter time shows no habit
	if limit := r.options.Temporary; limit > 0 && float64(bytes)/days > float64(limit) {
		r.add(jobs.Info, 0, "", fmt.Sprintf("%s a day went to temporary files since %s (%d files), limit %s: work_mem is too small for some statements, or log_temp_files shows which",
			size(int64(float64(bytes)/days)), day(from), files, limit), "")
	}
	return nil
}

// askDeadlocks counts deadlocks.
func askDeadlocks(ctx context.Context, r *review) error {
	c, err := r.readDatabase(ctx)
	if err != nil {
		return err
	}
	if n, from := r.grown("deadlocks", c.Deadlocks); n > 0 {
		r.add(jobs.Info, 0, "", fmt.Sprintf("%d deadlocks since %s; the server's log has the statements", n, day(from)), "")
	}
	return nil
}

// askChecksums finds pages that the disk gave back in another form.
func askChecksums(ctx context.Context, r *review) error {
	all, err := ask[struct {
		Database string
		Failures int64
		Last     *time.Time
	}](ctx, r, `SELECT coalesce(datname::text, 'shared relations'), checksum_failures, checksum_last_failure FROM pg_stat_database WHERE checksum_failures > 0`)
	if err != nil {
		return err
	}
	for _, d := range all {
		last := ""
		if d.Last != nil {
			last = ", the last " + d.Last.UTC().Format(time.DateTime)
		}
		r.add(jobs.Critical, float64(d.Failures), d.Database, fmt.Sprintf("%d pages of %s had a wrong checksum%s: data is damaged; save what there is, and look at the disks", d.Failures, d.Database, last), "")
	}
	return nil
}

// checkpointQuery reads how often checkpoints came in time and how often not.
func (r *review) checkpointQuery() string {
	if r.conn.Server.Number >= 170000 {
		return "SELECT num_timed, num_requested, stats_reset FROM pg_stat_checkpointer"
	}
	return "SELECT checkpoints_timed, checkpoints_req, stats_reset FROM pg_stat_bgwriter"
}

// askCheckpoints judges how many checkpoints the amount of writing forced.
func askCheckpoints(ctx context.Context, r *review) error {
	all, err := ask[struct {
		Timed, Forced int64
		Reset         *time.Time
	}](ctx, r, r.checkpointQuery())
	if err != nil || len(all) == 0 {
		return err
	}
	if all[0].Reset != nil {
		r.now.CheckpointsReset = *all[0].Reset
	}
	forced, from := r.grownSince("checkpoints_forced", all[0].Forced, r.now.CheckpointsReset, r.before.CheckpointsReset)
	timed, _ := r.grownSince("checkpoints_timed", all[0].Timed, r.now.CheckpointsReset, r.before.CheckpointsReset)
	limits := r.options.Checkpoints
	if limits.Forced == 0 || forced+timed < max(limits.Min, 1) {
		return nil
	}
	if percent := 100 * float64(forced) / float64(forced+timed); percent > float64(limits.Forced) {
		r.add(jobs.Info, 0, "", fmt.Sprintf("%.0f %% of %d checkpoints since %s did not wait for their time, limit %s: max_wal_size is too small, or a program asks for them", percent, forced+timed, day(from), limits.Forced), "")
	}
	return nil
}

// askArchiver judges whether write-ahead log reaches its archive.
func askArchiver(ctx context.Context, r *review) error {
	all, err := ask[struct {
		Failed                   int64
		LastFailed, LastArchived *time.Time
		Mode, Wal                string
	}](ctx, r, `SELECT failed_count, last_failed_time, last_archived_time, current_setting('archive_mode'), coalesce(last_failed_wal, '') FROM pg_stat_archiver`)
	if err != nil || len(all) == 0 {
		return err
	}
	a := all[0]
	was, known := r.before.Counts["archive_failed"]
	r.now.Counts["archive_failed"] = a.Failed
	if a.Mode == "off" || a.LastFailed == nil {
		return nil
	}
	if a.LastArchived == nil || a.LastFailed.After(*a.LastArchived) {
		r.add(jobs.Critical, 0, "", fmt.Sprintf("write-ahead log is not archived: %d failures, the last %s (%s), nothing archived since; the log piles up on the disk, and point-in-time recovery ends there",
			a.Failed, a.LastFailed.UTC().Format(time.DateTime), a.Wal), "")
		return nil
	}
	if grown := a.Failed - was; known && grown > 0 {
		r.add(jobs.Warning, 0, "", fmt.Sprintf("archiving failed %d times since %s, the last %s; it works again", grown, day(r.before.At), a.LastFailed.UTC().Format(time.DateTime)), "")
	}
	return nil
}

// day writes an instant for a sentence.
func day(t time.Time) string {
	if t.IsZero() {
		return "the beginning"
	}
	return t.UTC().Format("2006-01-02 15:04")
}
