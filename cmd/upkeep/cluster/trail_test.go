package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// trailText writes down every change of a run or an attempt, in the order in
// which the database makes them and by its clock.
const trailText = `
CREATE SCHEMA trail;
CREATE TABLE trail.step (
	n         BIGSERIAL PRIMARY KEY,
	at        TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
	run       TEXT COLLATE "C" NOT NULL,
	job       TEXT NOT NULL,
	number    BIGINT NOT NULL,
	was       TEXT NOT NULL,
	state     TEXT NOT NULL,
	was_epoch BIGINT NOT NULL,
	epoch     BIGINT NOT NULL,
	node      TEXT NOT NULL,
	reason    TEXT NOT NULL);
CREATE INDEX ON trail.step (run, n);
CREATE FUNCTION trail.run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF TG_OP = 'INSERT' THEN
		INSERT INTO trail.step (run, job, number, was, state, was_epoch, epoch, node, reason)
			VALUES (NEW.id, '', 0, '', NEW.state, -1, NEW.epoch, NEW.node, NEW.reason);
	ELSIF (OLD.state, OLD.epoch, OLD.owner) IS DISTINCT FROM (NEW.state, NEW.epoch, NEW.owner) THEN
		INSERT INTO trail.step (run, job, number, was, state, was_epoch, epoch, node, reason)
			VALUES (NEW.id, '', 0, OLD.state, NEW.state, OLD.epoch, NEW.epoch, NEW.node, NEW.reason);
	END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION trail.attempt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF TG_OP = 'INSERT' THEN
		INSERT INTO trail.step (run, job, number, was, state, was_epoch, epoch, node, reason)
			VALUES (NEW.run, NEW.job, NEW.number, '', NEW.state, -1, NEW.epoch, '', NEW.reason);
	ELSIF (OLD.state, OLD.epoch, OLD.reason, OLD.result) IS DISTINCT FROM (NEW.state, NEW.epoch, NEW.reason, NEW.result) THEN
		INSERT INTO trail.step (run, job, number, was, state, was_epoch, epoch, node, reason)
			VALUES (NEW.run, NEW.job, NEW.number, OLD.state, NEW.state, OLD.epoch, NEW.epoch, '', NEW.reason);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER trail AFTER INSERT OR UPDATE ON upkeep.runs FOR EACH ROW EXECUTE FUNCTION trail.run();
CREATE TRIGGER trail AFTER INSERT OR UPDATE ON upkeep.attempts FOR EACH ROW EXECUTE FUNCTION trail.attempt();`

// step is one change of a run, or of an attempt when it has a job.
type step struct {
	n               int64
	at              time.Time
	run, job        string
	number          int64
	was, state      string
	wasEpoch, epoch int64
	node, reason    string
}

func (s step) final() bool { return isFinal(s.state) }

func isFinal(state string) bool { return state != "" && state != "queued" && state != "running" }

// isDone tells whether a job with an attempt in that state must not run again.
func isDone(state string) bool { return state == "succeeded" || state == "warned" }

// watchLedger begins the trail. The tables must be there.
func (d *database) watchLedger(t *testing.T) {
	t.Helper()
	d.query(t, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, trailText)
		return err
	})
}

// trail returns all steps, by run and in their order.
func (d *database) trail(t *testing.T) map[string][]step {
	t.Helper()
	all := map[string][]step{}
	for _, s := range rowsOf[step](t, d, `SELECT n, at, run, job, number, was, state, was_epoch, epoch, node, reason FROM trail.step ORDER BY n`,
		func(r pgx.Rows, s *step) error {
			return r.Scan(&s.n, &s.at, &s.run, &s.job, &s.number, &s.was, &s.state, &s.wasEpoch, &s.epoch, &s.node, &s.reason)
		}) {
		all[s.run] = append(all[s.run], s)
	}
	return all
}

// rowsOf returns the rows of a query.
func rowsOf[T any](t *testing.T, d *database, query string, scan func(pgx.Rows, *T) error, args ...any) []T {
	t.Helper()
	var all []T
	d.query(t, func(ctx context.Context, c *pgx.Conn) error {
		all = nil
		rows, err := c.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var one T
			if err := scan(rows, &one); err != nil {
				return err
			}
			all = append(all, one)
		}
		return rows.Err()
	})
	return all
}

// run is a row of the ledger.
type run struct {
	id, workflow, host   string
	state, reason, node  string
	slot, last, queuedAt int64 // microseconds since 1970; last is 0 without
	epoch                int64
}

func (d *database) runs(t *testing.T, where string, args ...any) []run {
	t.Helper()
	return rowsOf(t, d, `SELECT id, workflow, host, state, reason, node, slot, COALESCE(last_slot, 0), queued_at, epoch FROM upkeep.runs `+where,
		func(r pgx.Rows, one *run) error {
			return r.Scan(&one.id, &one.workflow, &one.host, &one.state, &one.reason, &one.node, &one.slot, &one.last, &one.queuedAt, &one.epoch)
		}, args...)
}

// under returns the runs that have running attempts on a node; on all when name
// is empty.
func (d *database) under(t *testing.T, name string) []run {
	t.Helper()
	return d.runs(t, `WHERE state = 'running' AND ($1 = '' OR node = $1)
		AND EXISTS (SELECT 1 FROM upkeep.attempts a WHERE a.run = id AND a.state = 'running')`, name)
}

// attemptsOn returns the attempts that run on a node, as "run job number".
func (d *database) attemptsOn(t *testing.T, name string) []string {
	t.Helper()
	return rowsOf(t, d, `SELECT a.run || ' ' || a.job || ' ' || a.number FROM upkeep.attempts a JOIN upkeep.runs r ON r.id = a.run
		WHERE a.state = 'running' AND r.state = 'running' AND r.node = $1`,
		func(r pgx.Rows, key *string) error { return r.Scan(key) }, name)
}

// shares counts the runs that each node executed last, without those that every
// node has for itself.
func (d *database) shares(t *testing.T) map[string]int {
	t.Helper()
	count := map[string]int{}
	for _, r := range d.runs(t, "WHERE host = '' AND node <> ''") {
		count[r.node]++
	}
	return count
}
