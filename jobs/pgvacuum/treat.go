package pgvacuum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// outcome is what became of one table.
type outcome int

const (
	// done: its statements ended well.
	done outcome = iota
	// clean: somebody else was faster, so nothing was due any more.
	clean
	// gone: it was dropped meanwhile.
	gone
	// locked: somebody held a lock for too long.
	locked
	// denied: the user may not do it.
	denied
	// killed: somebody else canceled the statement on the server.
	killed
	// left: the time was over before or while it was its turn.
	left
	// failed: the server could not do it.
	failed
)

// shortfall is why a statement did not do its work, as a matter of its table
// alone.
type shortfall struct {
	outcome outcome
	why     string
}

func (s *shortfall) Error() string { return s.why }

// lostError says that the connection at work is gone.
type lostError struct{ cause error }

func (e *lostError) Error() string {
	return "the session at work was lost: " + e.cause.Error()
}
func (e *lostError) Unwrap() error { return e.cause }

// Hint says what to do.
func (e *lostError) Hint() string {
	return "see the server's log for why it ended the session; what was done stays done, and the next run does the rest"
}

// entry is one table in the report.
type entry struct {
	database *database
	work     work
	outcome  outcome
	note     string
	after    table
	// before and behind are the sizes.
	before, behind extent
	took, waited   time.Duration
}

// extent is how large a table is.
type extent struct {
	// Bytes are all of it with indexes and TOAST, Heap its rows alone with
	// those of TOAST.
	Bytes, Heap int64
}

// sizeLockTimeout is how long asking for a size may wait for a lock, in
// milliseconds.
const sizeLockTimeout = "100"

// extent asks how large a table is; when it is locked, the planner's estimate
// has to do.
func (s *session) extent(ctx context.Context, t table) (extent, error) {
	rows, err := pg.Rows[extent](ctx, s.control, `SELECT coalesce(pg_total_relation_size($1::oid), 0),
		coalesce(pg_relation_size($1::oid), 0) + coalesce(pg_relation_size(nullif($2::oid, 0)), 0)`, t.OID, t.Toast)
	if pg.Code(err) != "" {
		return extent{Bytes: t.Bytes}, nil
	}
	if err != nil {
		return extent{}, fmt.Errorf("ask for the size of %s: %w", t.label(), err)
	}
	return rows[0], nil
}

// treat does what one table needs now. Its error ends the work on the whole
// database.
func (r *run) treat(ctx context.Context, s *session, d *database, planned work, skip bool) (entry, error) {
	e := entry{database: d, work: planned}
	fresh, err := survey(ctx, s.control, planned.table.OID)
	switch {
	case err != nil:
		return e, err
	case len(fresh) == 0:
		e.outcome, e.note = gone, "it was dropped meanwhile"
		return e, nil
	}
	r.renew(&e, fresh[0])
	if e.work.none() {
		e.outcome, e.note = clean, "nothing is due any more"
		return e, nil
	}
	if !e.work.table.Permitted {
		e.outcome, e.note = denied, "it belongs to "+jobs.OneLine(e.work.table.Owner)+" now"
		return e, nil
	}
	if !skip { // waiting for a lock would make the server cancel autovacuum
		h, err := s.holders(ctx, e.work)
		if err != nil {
			return e, err
		}
		if h.autovacuum {
			e.outcome, e.note = clean, autovacuumAtWork
			return e, nil
		}
	}
	if e.before, err = s.extent(ctx, e.work.table); err != nil {
		return e, err
	}
	if err := s.work.Set(ctx, e.work.thoroughly(d.settings, r.job.rules.due)); err != nil {
		return e, &lostError{cause: err}
	}
	began := time.Now()
	what := fmt.Sprintf("%s %s (%s)", e.work.verb(), d.title(e.work.table), strings.Join(e.work.reasons, "; "))
	err = r.env.Effect(ctx, jobs.OneLine(what), func(ctx context.Context) error {
		for _, statement := range r.job.options.statements(e.work, d.server.Major, skip) {
			seen, err := s.execute(ctx, statement, r.cutoff(), r.looker(s, d, e.work))
			e.waited += seen.waited
			if err = s.verdict(ctx, e.work, seen, err); err != nil {
				return err
			}
		}
		return nil
	})
	e.took = time.Since(began)
	if short, ok := errors.AsType[*shortfall](err); ok {
		e.outcome, e.note = short.outcome, short.why
		return e, nil
	}
	if err != nil {
		return e, err
	}
	return e, r.measure(ctx, s, &e)
}

// renew puts the present state of a table into its entry.
func (r *run) renew(e *entry, t table) {
	planned := e.work
	e.work = e.database.fit(r.job.rules.judge(t, e.database.settings))
	if planned.full {
		if why := r.job.rail(r.env, e.database, t, &planned.gain); why != "" {
			r.env.Printf("%s is not rewritten: %s", e.database.title(t), why)
			return
		}
		e.work.rewrite(planned.gain)
	}
}

// measure asks what a table is like after its statements.
func (r *run) measure(ctx context.Context, s *session, e *entry) error {
	var err error
	if e.behind, err = s.extent(ctx, e.work.table); err != nil {
		return err
	}
	// Before PostgreSQL 15 statistics arrive a moment later.
	for deadline := time.Now().Add(statisticsTime); ; {
		after, err := survey(ctx, s.control, e.work.table.OID)
		if err != nil {
			return err
		}
		if len(after) == 0 {
			e.outcome, e.note = gone, "it was dropped meanwhile"
			return nil
		}
		e.after = after[0]
		if s.control.Server.Major >= 15 || counted(e.work, e.after) || time.Now().After(deadline) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollTime):
		}
	}
}

// statisticsTime is how long to wait for the statistics of old servers.
const statisticsTime = 2 * time.Second

// counted tells whether the server counted what was done to a table.
func counted(w work, after table) bool {
	switch {
	case w.full: // which is not counted
		return true
	case w.vacuum && after.Vacuums <= w.table.Vacuums, !w.vacuum && w.toast && after.ToastVacuums <= w.table.ToastVacuums:
		return false
	}
	return !w.analyze || after.Analyzes > w.table.Analyzes
}

// verdict judges what the server said to a statement. An error that is no
// *shortfall ends the work on the database.
func (s *session) verdict(ctx context.Context, w work, seen watched, err error) error {
	warnings := s.heard.take()
	if err == nil {
		return s.heed(ctx, w, seen, warnings)
	}
	switch code := pg.Code(err); {
	case errors.Is(seen.stopped, errBudget):
		return &shortfall{left, "canceled, because " + errBudget.Error()}
	case seen.stopped != nil:
		return seen.stopped
	case code == "57P01" || code == "57P02" || code == "57P03" || s.work.IsClosed():
		return &lostError{cause: err}
	case code == pg.CodeLocked || code == "40P01":
		return s.lockedOut(ctx, w, seen)
	case code == pg.CodeDenied:
		return &shortfall{denied, s.env.OneLine(err.Error())}
	case code == pg.CodeCanceled:
		return &shortfall{killed, "somebody canceled the statement on the server"}
	case code == "42P01" || code == "3F000":
		return &shortfall{gone, "it was dropped meanwhile"}
	case code == "":
		return &lostError{cause: err}
	}
	return &shortfall{failed, s.env.OneLine(err.Error())}
}

// heed looks at the warnings of a statement that the server called done: that
// is how it says that it left something out.
func (s *session) heed(ctx context.Context, w work, seen watched, warnings []pg.Notice) error {
	if len(warnings) == 0 {
		return nil
	}
	if slices.ContainsFunc(warnings, func(n pg.Notice) bool { return n.Code == pg.CodeLocked }) {
		return s.lockedOut(ctx, w, seen)
	}
	text := s.env.OneLine(warnings[0].Text)
	after, err := survey(ctx, s.control, w.table.OID)
	if err != nil {
		return err
	}
	switch {
	case len(after) == 0:
		return &shortfall{gone, "it was dropped meanwhile"}
	case !after[0].Permitted:
		return &shortfall{denied, text}
	case s.control.Server.Major >= 15 && !w.full && !anyCounted(w, after[0]):
		return &shortfall{failed, text}
	}
	s.env.Printf("%s: %s", jobs.OneLine(w.table.label()), text)
	return nil
}

// anyCounted tells whether the server counted anything that was done to a
// table, after one of possibly two statements.
func anyCounted(w work, after table) bool {
	return after.Vacuums > w.table.Vacuums || after.ToastVacuums > w.table.ToastVacuums || after.Analyzes > w.table.Analyzes
}

// title names a table of d for people, with the database when there is
// more than one.
func (d *database) title(t table) string {
	name := t.label()
	if d.several {
		name = d.name + "." + name
	}
	return jobs.OneLine(name)
}
