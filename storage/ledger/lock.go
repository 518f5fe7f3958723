package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// maxPassed is how often a start that could not begin anyway is passed by later
// ones; after that they wait for it. Steps recorded at the very same moment may
// each be the last.
const maxPassed = 8

// placeMark stands between the name of a lock and the number of a place of it.
const placeMark = "\x1f"

// placeKey is the key of one of the places of a lock, counted from 0.
func placeKey(name string, place int) string {
	if place == 0 {
		return name
	}
	return name + placeMark + strconv.Itoa(place)
}

// wish is a start that wants locks.
type wish struct {
	fencedRun
	start runner.Start
	// names are the locks in the one order for all, which keeps two transactions
	// from waiting for each other.
	names []string
	now   time.Time
}

// mine tells whether a job of a run under an epoch is the one that wants.
func (w wish) mine(run runner.RunID, job string, epoch int64) bool {
	return run == w.claim.Run && job == w.start.Attempt.Job && epoch == w.claim.Epoch
}

// takeLocks takes the locks of one start, all or none, and returns what is in
// the way of the first that it cannot have. A place whose holder cannot use it
// any longer is taken over: its run has ended, went to another epoch, or has a
// dead owner. Who is blocked waits in line.
func (l *Ledger) takeLocks(ctx context.Context, s session, f fencedRun, start runner.Start, now time.Time) (*runner.Blocked, error) {
	w := wish{fencedRun: f, start: start, names: slices.Compact(slices.Sorted(slices.Values(start.Locks))), now: now}
	if len(w.names) == 0 {
		return nil, nil
	}
	var fresh []string
	// Places may change hands between the looks; each round gets further.
	for range maxTries {
		v, err := l.look(ctx, s, w)
		if err != nil {
			return nil, err
		}
		if blocked := v.judge(w); blocked != nil {
			return blocked, l.standInLine(ctx, s, w, v, fresh)
		}
		done := true
		for _, name := range w.names {
			if v.own[name] {
				continue
			}
			key, err := v.occupy(ctx, s, w, name)
			if err != nil {
				return nil, err
			}
			if key == "" {
				done = false
				break
			}
			fresh = append(fresh, key)
		}
		if done {
			return nil, v.passBy(ctx, s, w)
		}
	}
	return nil, fmt.Errorf("%w: the locks %s change hands too fast", runner.ErrUnavailable, strings.Join(w.names, ", "))
}

// occupy takes a free place of a lock and returns its key; empty when somebody
// else was quicker.
func (v *view) occupy(ctx context.Context, s session, w wish, name string) (string, error) {
	for place := range w.start.Places(name) {
		key := placeKey(name, place)
		holder, found := v.places[key]
		if found && !holder.stale {
			continue
		}
		if found {
			_, err := s.exec(ctx, "DELETE FROM locks WHERE key = ? AND run = ? AND job = ? AND epoch = ?", key, holder.Run, holder.Job, holder.epoch)
			if err != nil {
				return "", err
			}
		}
		changed, err := s.exec(ctx, "INSERT INTO locks (key, name, run, job, epoch, owner, since) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
			key, name, w.claim.Run, w.start.Attempt.Job, w.claim.Epoch, w.claim.Owner, micros(w.now))
		if err != nil || changed == 1 {
			return key, err
		}
	}
	return "", nil
}

// holding is a place of a lock that is taken.
type holding struct {
	runner.LockHolder
	key   string
	epoch int64
	// current tells whether the holding run goes on under the same epoch, planned
	// that the job may have ended its process by itself, and is judged when
	// somebody goes on with the run: until then the place is its own. stale tells
	// that the holder cannot use the place any longer.
	current, planned, stale bool
}

// nameOf is the name of the lock of which k is a place.
const nameOf = "CASE WHEN k.name = '' THEN k.key ELSE k.name END"

// lockHolders selects what scanHolding reads.
const lockHolders = `SELECT k.key, ` + nameOf + `, k.run, r.workflow, k.job, k.owner, r.node, k.since, k.epoch,
		CASE WHEN r.state = 'running' AND r.epoch = k.epoch THEN 1 ELSE 0 END,
		CASE WHEN r.` + isOpen + ` AND EXISTS (SELECT 1 FROM attempts a WHERE a.run = k.run AND a.job = k.job AND ` + stillPlanned + `) THEN 1 ELSE 0 END
	FROM locks k JOIN runs r ON r.id = k.run `

func scanHolding(row scanner) (h holding, err error) {
	var since int64
	err = row.Scan(&h.key, &h.Lock, &h.Run, &h.Workflow, &h.Job, &h.Owner, &h.Node, &since, &h.epoch, &h.current, &h.planned)
	h.AcquiredAt, h.stale = time.UnixMicro(since).UTC(), !h.current && !h.planned
	return h, err
}

// view is who holds and who waits for the locks of a wish.
type view struct {
	// places are the holders by the key of the place.
	places map[string]holding
	// own are the locks that the wish has already.
	own map[string]bool
	// first is the holder of a lock to be named, taken how many have it who are
	// alive; both by name.
	first map[string]runner.LockHolder
	taken map[string]int
	// line is who waits, the oldest first, without the wish; own waits are
	// those of the wish.
	line, ownWaits []waiting
	// passed are those who could have begun no sooner, and are older.
	passed []waiting
	// alive are the instances asked about that live, or whose work this one may
	// not take over yet.
	alive       map[string]bool
	mayTakeOver func(Node) bool
}

// before tells whether other stands in line before the wish.
func (v *view) before(other waiting) bool {
	return len(v.ownWaits) == 0 || other.compare(v.ownWaits[0]) < 0
}

// look reads who holds and who waits for what w wants.
func (l *Ledger) look(ctx context.Context, s session, w wish) (*view, error) {
	v := &view{mayTakeOver: l.mayTakeOver, places: map[string]holding{}, own: map[string]bool{}, first: map[string]runner.LockHolder{}, taken: map[string]int{}, alive: map[string]bool{}}
	if err := v.readLine(ctx, s, w); err != nil {
		return nil, err
	}
	names := slices.Clone(w.names)
	for _, other := range v.line {
		if !slices.Contains(names, other.Lock) {
			names = append(names, other.Lock)
		}
	}
	return v, v.readHolders(ctx, s, w, names)
}

// readHolders reads who holds the locks of these names.
func (v *view) readHolders(ctx context.Context, s session, w wish, names []string) error {
	in := marks(len(names))
	var list []holding
	err := s.each(ctx, lockHolders+"WHERE k.key IN ("+in+") OR k.name IN ("+in+") ORDER BY k.since, k.key", append(anyOf(names), anyOf(names)...), func(rows *sql.Rows) error {
		h, err := scanHolding(rows)
		list = append(list, h)
		return err
	})
	if err != nil {
		return err
	}
	for _, h := range list {
		if !h.stale && !h.planned {
			alive, err := v.lives(ctx, s, h.Owner)
			if err != nil {
				return err
			}
			h.stale = !alive
		}
		v.places[h.key] = h
		switch _, named := v.first[h.Lock]; {
		case h.stale:
		case w.mine(h.Run, h.Job, h.epoch):
			v.own[h.Lock] = true
			v.taken[h.Lock]++
		default:
			v.taken[h.Lock]++
			if !named {
				v.first[h.Lock] = h.LockHolder
			}
		}
	}
	return nil
}

// lives tells whether an instance is alive or must be given time to come back,
// and asks once for each.
func (v *view) lives(ctx context.Context, s session, owner string) (bool, error) {
	if alive, known := v.alive[owner]; known {
		return alive, nil
	}
	n, err := readNode(ctx, s, owner)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		v.alive[owner] = false
	case err != nil:
		return false, err
	default:
		v.alive[owner] = n.Alive || !v.mayTakeOver(n)
	}
	return v.alive[owner], nil
}

// judge returns what keeps w from having all its locks; nil for nothing.
func (v *view) judge(w wish) *runner.Blocked {
	v.passed = nil
	var blocked *runner.Blocked
	for _, name := range w.names {
		if v.own[name] {
			continue
		}
		free := w.start.Places(name) - v.taken[name]
		if free <= 0 {
			return &runner.Blocked{Job: w.start.Attempt.Job, Lock: name, Holder: v.first[name]}
		}
		for _, other := range v.line {
			if other.Lock != name || !v.before(other) {
				continue
			}
			if v.held(other) && other.Passed < maxPassed {
				v.passed = append(v.passed, other)
				continue
			}
			if free--; free == 0 && blocked == nil {
				blocked = &runner.Blocked{Job: w.start.Attempt.Job, Lock: name, Ahead: true, Holder: other.asHolder()}
			}
		}
	}
	return blocked
}

// held tells whether a place that other waits for is taken by somebody, so that
// it could not begin whoever else waits.
func (v *view) held(other waiting) bool {
	return slices.ContainsFunc(v.line, func(w waiting) bool {
		return w.Run == other.Run && w.Job == other.Job && v.taken[w.Lock] >= w.places
	})
}

// Locks returns the places of named locks that are in use, ordered by name and
// since when. A place whose holder died is listed until somebody takes it over.
func (r *Reader) Locks(ctx context.Context) ([]runner.LockHolder, error) {
	var list []runner.LockHolder
	err := r.reading().each(ctx, lockHolders+"ORDER BY "+nameOf+", k.since, k.key", nil, func(rows *sql.Rows) error {
		h, err := scanHolding(rows)
		if err == nil && !h.stale {
			list = append(list, h.LockHolder)
		}
		return err
	})
	return list, r.explain(ctx, "list the locks", err)
}

var errPlaceMark = errors.New("the name of a lock contains the character 31")

// checkLock refuses what cannot be the name of a lock.
func checkLock(name string) error {
	if strings.Contains(name, placeMark) {
		return errPlaceMark
	}
	return checkName("a lock", name)
}
