// Package explain answers why a slot ran or did not run. It knows the calendar
// of a workflow, reads what the ledger has on record, and says for each slot of
// a stretch of time in one sentence what became of it and what to type next. It
// never guesses: a slot without a row is explained by the cursor of its
// calendar, by the retention of history, or by saying that nothing explains it.
//
// It reads no clock and changes nothing. Every slot of the schedule gets exactly
// one answer. Slots that the schedule does not have are answered only when a row
// says that they were due, under another schedule.
//
// # What a slot without a row means
//
//	later than now                       due
//	this node does not run it            elsewhere
//	the calendar was never looked at     unseen
//	not later than the cursor's Since    before: nothing was owed yet
//	the schedule is not the cursor's     changed: the service has not taken it up
//	later than the cursor's Through      due for a moment, then undecided
//	older than the history is kept       pruned
//	otherwise                            unrecorded: another schedule was in force,
//	                                     or the history was cut
package explain
