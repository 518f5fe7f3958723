package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// maxStranded bounds how many runs one call of Strand ends.
const maxStranded = 100

// stranded is a run that began and that nobody works on.
type stranded struct {
	id     runner.RunID
	state  runner.State
	epoch  int64
	target runner.Target
	// owner executed it last, on the node.
	owner, node string
	canceledBy  string
	// idle is for how long nobody has worked on it, by the database's clock.
	idle time.Duration
}

// Strand ends runs that began, that nobody works on since their node died or
// gave them back, and that no node that is there may go on with: they would be
// open for ever, and all later runs of their workflows would be skipped. It gives
// such nodes the time of wait to come back; none when no member that is away
// could go on with it either, or when somebody canceled it. A process that has
// not had its lease for as long as that ends nothing: the others may have been
// away together with it. The runs become Failed, or Canceled, their running
// attempts Lost. It may be called by every node, changes at most 100 runs, and
// returns those that it ended.
func (l *Ledger) Strand(ctx context.Context, wait time.Duration) ([]runner.RunID, error) {
	nodes, err := l.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	list, err := l.idleRuns(ctx)
	if err != nil || len(list) == 0 {
		return nil, l.explain(ctx, "look for runs that nobody works on", err)
	}
	members, err := l.Members(ctx)
	if err != nil {
		return nil, err
	}
	var ended []runner.RunID
	for _, r := range list {
		if len(ended) == maxStranded {
			break
		}
		if !l.isStranded(r, nodes, members, wait) {
			continue
		}
		changed, err := l.strand(ctx, r)
		if err != nil {
			return ended, err
		}
		if changed {
			ended = append(ended, r.id)
		}
	}
	return ended, nil
}

// idleRuns reads the runs that began and that nobody seems to work on.
func (l *Ledger) idleRuns(ctx context.Context) ([]stranded, error) {
	now := l.d.now
	query := `SELECT id, state, epoch, ` + targetOfRun + `, owner, node, canceled_by,
		` + now + ` - COALESCE(
			(SELECT n.lease_until FROM nodes n WHERE n.instance = runs.owner AND runs.state = 'running'),
			(SELECT m.last_seen FROM members m WHERE m.name = runs.node AND runs.state = 'running'),
			(SELECT MAX(a.finished_at) FROM attempts a WHERE a.run = runs.id), started_at)
		FROM runs WHERE ` + isOpen + ` AND started_at IS NOT NULL
			AND (state = 'queued' AND (start_by IS NULL OR start_by <= ` + now + `) OR state = 'running' AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.instance = runs.owner AND n.lease_until > ` + now + `))
		ORDER BY id`
	var list []stranded
	err := l.reading().each(ctx, query, nil, func(rows *sql.Rows) error {
		var r stranded
		var idle int64
		err := rows.Scan(&r.id, &r.state, &r.epoch, &r.target, &r.owner, &r.node, &r.canceledBy, &idle)
		r.idle = time.Duration(idle) * time.Microsecond
		list = append(list, r)
		return err
	})
	return list, err
}

// isStranded tells whether there is nothing to wait for any longer.
func (l *Ledger) isStranded(r stranded, nodes []Node, members []Member, wait time.Duration) bool {
	fits := func(name string, labels []string) bool {
		_, ofNode := r.target.Node()
		return ofNode && l.d.local || r.target.Fits(name, labels)
	}
	if slices.ContainsFunc(nodes, func(n Node) bool {
		return n.Alive && (n.Member && fits(n.Name, n.Labels) || r.state == runner.Running && n.Instance == r.owner)
	}) {
		return false
	}
	hope := slices.ContainsFunc(members, func(m Member) bool { return fits(m.Name, m.Labels) })
	if r.canceledBy != "" || !hope {
		wait = 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return r.idle >= wait && (l.o.LeaseTTL == 0 || steadyTime()-l.held >= wait)
}

// strand ends one of them, unless it changed meanwhile.
func (l *Ledger) strand(ctx context.Context, r stranded) (changed bool, err error) {
	state, reason, why := runner.Failed, runner.ReasonCrash, "the node "+r.node+" died while it executed this run"
	if r.state == runner.Queued {
		reason, why = runner.ReasonShutdown, "the node "+r.node+" gave this run back"
	}
	if r.canceledBy != "" {
		state, reason = runner.Canceled, runner.ReasonUser
	}
	why += fmt.Sprintf(", and for %s no other was there that may go on with it: it is for %s", r.idle.Round(time.Second), r.target)
	err = l.transact(ctx, "end run "+string(r.id), func(ctx context.Context, s session) error {
		changed = false
		run, err := lockRun(ctx, s, r.id)
		if err != nil || run.Epoch != r.epoch || run.State != r.state {
			return err
		}
		if run.State == runner.Running {
			if alive, err := isAlive(ctx, s, run.Owner); err != nil || alive {
				return err
			}
		}
		now := time.Now()
		if err := abandon(ctx, s, r.id, runner.ReasonCrash, "the process that ran this attempt died", now); err != nil {
			return err
		}
		n, err := s.exec(ctx, "UPDATE runs SET state = ?, reason = ?, message = ?, finished_at = ?, epoch = epoch + 1, bytes = "+bytesOfRun+" WHERE id = ? AND epoch = ? AND state = ?",
			state, reason, cleanLine(why, maxLine), micros(now), r.id, r.epoch, r.state)
		if changed = err == nil && n == 1; !changed {
			return err
		}
		return l.judgeEnd(ctx, s, r.id)
	})
	return changed && err == nil, err
}
