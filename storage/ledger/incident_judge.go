package ledger

import (
	"context"
	"database/sql"
	"slices"

	"github.com/ghosteam/upkeep/runner"
)

// SetAlarm replaces what decides which ends of runs are faults; nil stands for
// none. Transactions that are under way may still ask the one before.
func (l *Ledger) SetAlarm(alarm runner.Alarm) {
	if alarm == nil {
		l.alarm.Store(nil)
		return
	}
	l.alarm.Store(&alarm)
}

// owe remembers that the transaction of s, once committed, leaves notices to
// be sent.
func (s session) owe() {
	if s.owes != nil {
		*s.owes = true
	}
}

// wake tells the dispatcher of this process that there may be notices to send.
func (l *Ledger) wake() {
	if l.o.Owed != nil {
		l.o.Owed()
	}
}

// judgeEnd asks the alarm what the end of a run, which the transaction of s has
// just recorded, means, and records that too.
func (l *Ledger) judgeEnd(ctx context.Context, s session, id runner.RunID) error {
	return l.judge(ctx, s, []runner.RunID{id})
}

// judgeSkipped is judgeEnd for the new runs of list that are not to run at all.
func (l *Ledger) judgeSkipped(ctx context.Context, s session, list []submitted) error {
	var ids []runner.RunID
	for _, w := range list {
		if !w.duplicate && w.state.Final() {
			ids = append(ids, w.id)
		}
	}
	return l.judge(ctx, s, ids)
}

// judge reads the runs anew, so that the alarm sees all that is on record about
// them.
func (l *Ledger) judge(ctx context.Context, s session, ids []runner.RunID) error {
	alarm := l.alarm.Load()
	if alarm == nil {
		return nil
	}
	var rulings []ruling
	for chunk := range slices.Chunk(ids, inChunk) {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		query := "SELECT " + runColumns + " FROM runs r JOIN specs s ON s.digest = r.spec WHERE r.id IN (" + marks(len(chunk)) + ") ORDER BY r.id"
		var runs []runner.Run
		err := s.each(ctx, query, args, func(rows *sql.Rows) error {
			run, err := scanRun(rows)
			runs = append(runs, run)
			return err
		})
		if err != nil {
			return err
		}
		for _, run := range runs {
			if !run.State.Final() {
				continue
			}
			if r, some := rulingOf(run, (*alarm).Judge(run)); some {
				rulings = append(rulings, r)
			}
		}
	}
	return l.applyRulings(ctx, s, rulings)
}
