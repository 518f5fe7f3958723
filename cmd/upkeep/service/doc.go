// Package service puts the parts together that make one process the holder of
// a ledger: it executes runs, answers on the control socket and, as the daemon
// behind `upkeep serve`, keeps the calendar, sends what is owed, prunes the
// history and watches the disk. It is the only place that knows how the parts
// start, in which order they end, and what a signal means. Parsing command
// lines and talking to people is left to the commands.
//
// # The life of the daemon
//
//	          ┌──────────┐  ledger, socket and calendar are there
//	start ───▶│ starting │──────────────────────────────┐ READY=1
//	          └──────────┘                              ▼
//	               HUP: reload whole, or     ┌──────────────────┐
//	               keep the old and be  ┌───▶│     running      │◀──┐
//	               degraded             └────│ (or degraded)    │   │ there is room again,
//	                                         └──┬────────┬──────┘   │ or the drain is undone
//	                        disk full, or drain │        │          │
//	                                            ▼        │   ┌──────┴─────┐
//	                                            └────────┼──▶│    held    │
//	                                                     │   └──────┬─────┘
//	                                       TERM or INT   ▼          ▼
//	                                             ┌────────────────────┐
//	                                             │      draining      │ STOPPING=1
//	                                             └─────────┬──────────┘
//	           all runs ended, drain_timeout, or a second  │
//	           signal: what is left goes on at the next    ▼
//	           start                                     ended
//
// Held means that nothing new starts: slots that come due meanwhile stay
// undecided and are decided afterwards, by the catch-up rule when they are
// late by then.
//
// # One of several
//
// On PostgreSQL the daemon is one of several nodes, none of which is more than
// another. It renews its lease in a goroutine of its own; when the lease is lost
// the work under way is ended (or kept, with on_lease_loss: continue), and the
// daemon registers anew and goes on without a restart. What one node does for
// all of them, as deciding a slot, asking a check or telling of an absent node,
// is shared out by the list of nodes, and the ledger makes sure that two who take
// the same turn do it once.
package service
