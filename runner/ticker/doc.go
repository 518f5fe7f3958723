// Package ticker makes what is due known: it turns the passing of time into
// rows of the ledger, exactly one for every slot, and hands the runs among them
// to a queue. It knows calendars, cursors and requests, and refuses to know
// databases, configuration files, executors and what a run does.
//
// # Who does what
//
//	gocron          is the clock: it asks the ticker to look, and does no work
//	schedule        computes slots and decides what is owed
//	the ledger      is the truth: UNIQUE(workflow, slot, host), and a cursor
//	                for each calendar through which its slots are decided
//	the ticker      records all that is due together in one transaction, then
//	                delivers the runs
//
// One goroutine, that of Run, does everything in rounds. A round looks at the
// calendars whose next start has come, writes what became of their slots, and
// moves a cursor in memory only after the ledger has it. A round that fails
// changes nothing; the next one finds the same slots again, after a wait that
// grows to the length of the sweep. Whatever a round missed (the ledger was
// away, the machine slept, the clock was set, the process was dead) is found
// by the same path, because what is due follows from cursors alone.
//
// # The clock
//
// All calendars share one job of gocron, whose next instant is the earliest of
// all; ten thousand idle workflows cost one timer. gocron's timers are
// monotonic: a suspended machine or a clock that is set lets them fire late.
// The sweep (at start, then every 30 s) looks again and arms the timer anew, so
// that no start is later than that. Its own interval counts from one sweep's
// end to the next, because gocron otherwise falls silent after the clock was
// set back.
//
// # What a slot becomes
//
//	on time                          a run, trigger schedule
//	late, catch_up allows it         a run, trigger catch_up
//	late otherwise                   skipped/missed, with why
//	too many to name                 one skipped/missed row for all of them
//	the maintenance window is
//	closed, or closes too early      skipped/window
//
// Jitter delays the start of a slot and never moves it: a slot counts as late
// from slot + jitter on. Whether a run still fits into its window is judged by
// the time that 95 % of the workflow's latest runs needed. Several catch-up
// runs of a workflow with overlap skip wait for each other instead of skipping
// each other.
//
// A run alerts when it ends badly. A missed slot alerts when nothing else will
// tell: it is the newest of its workflow, none of the slots decided with it
// runs, and the next slot is more than 15 minutes away.
//
// # Several nodes
//
// Calendars without host are the same on all nodes that share the ledger. Which
// of them decides is no question of right but of work, and Options.Turn answers
// it: one node decides when a start has come; others leave it to that one for a
// moment, or until they sweep, then read the cursors of what was due, and decide
// what is not on record yet. So what is due together costs one transaction and a
// few reads however many nodes there are, and nothing is lost when the first one
// is dead, hangs or has another time. Their starts are delayed alike: jitter
// does not depend on the node.
//
// # Cursors
//
// A calendar without a cursor begins now and owes nothing. So does one whose
// schedule is not the one of its cursor. A reload decides the slots of the old
// schedule through the moment of the reload; the new one begins there. A
// workflow that is taken out of the configuration leaves a cursor without a
// schedule, so that it owes nothing when it comes back.
//
// A clock set back by less than a day owes nothing until the old time is passed
// again. By more, as after a boot with a wrong clock, calendars begin anew:
// nobody waits for years. Slots that are on record are never doubled either
// way.
package ticker
