// Package runner holds the words and the small interfaces that the parts of
// the engine share: what a run, an attempt, a state and a claim are. It knows
// no database, no queue and no clock, starts no goroutine, and does nothing by
// itself.
//
// # The life of a run
//
//	            Submit                       Submit with a state
//	              │                          (the slot is not to run)
//	              ▼        Cancel                     │
//	          ┌────────┐ ───────────▶ canceled        ▼
//	   ┌─────▶│ queued │                           skipped
//	   │      └────────┘                           (overlap, window,
//	   │          │ Claim: epoch+1                  paused, missed)
//	   │          ▼
//	   │      ┌─────────┐ ◀─┐ Claim of a run whose owner is dead: epoch+1,
//	   │      │ running │ ──┘ its running attempts become lost
//	   │      └─────────┘
//	   │        │  │  │ Advance with Finish
//	   │        │  │  └─────────────▶ succeeded, warned, failed,
//	   │        │  │                  canceled, skipped
//	   └────────┘  │                        │
//	Release: epoch+1 (shutdown)             │
//	   ▲                                    │
//	   └────────────────────────────────────┘
//	Reopen: epoch+1 (a person retries); attempts that are not done become
//	superseded
//
// A queued run that no node begins by its StartBy becomes skipped (missed), by
// the ledger's Expire. The state of a run is never lost, for somebody goes on
// with it; that of its jobs may be. What nobody who is there may go on with,
// because it is for certain nodes, waits a while for one of them; then the
// ledger's Strand makes it failed (crash), under a new epoch; or canceled, when
// somebody had asked for that.
//
// # The life of an attempt
//
//	      Advance(Begun)             Advance(Ended)
//	(nothing) ────────▶ running ─────────────────▶ succeeded
//	    │                  │                       warned    findings
//	    │                  │                       failed    error, permanent,
//	    │                  │                                 findings, panic,
//	    │                  │                                 timeout, refused
//	    │                  │                       canceled  user, shutdown
//	    │                  │ Claim of the next owner
//	    │                  └────────────────────▶ lost       crash
//	    │ Advance(Ended) alone
//	    └───────────────────────────────────────▶ skipped    condition, user,
//	                                                         timeout
//	                                              failed     the job could not
//	                                                         be prepared
//
// Only the owner under the present epoch writes; whoever comes late gets
// ErrStale. What counts for the progress of a job is its latest attempt that
// is not superseded:
//
//	running             the owner works on it, or is dead and the next Claim
//	                    makes it lost
//	running, planned    the owner works on it, or is gone and the next one judges
//	                    what it left, as the same attempt
//	succeeded, warned   done, never repeated
//	skipped             ended
//	failed              ended, or a retry follows: as many as the policy
//	                    allows, unless the reason is permanent, refused,
//	                    findings or condition
//	canceled/user       ended; canceled/window too
//	canceled/shutdown   begun again by the next claim; with on_crash never
//	                    such an attempt is lost/shutdown instead, and ended
//	lost                begun again, at most three times, unless on_crash is
//	                    never
//
// # The life of an incident and of its notices
//
// What the end of a run means is decided and recorded in the transaction that
// records the end.
//
//	          Raise, or Verdict.Raise           Raise: count+1
//	(nothing) ──────────────────────▶ open ◀──┐ owes nothing
//	                                  │  └────┘
//	                                  │ Clear, or Verdict.Clear
//	                                  ▼
//	                               resolved; the next Raise opens another one
//
// Opening owes each channel one notice, and so does the end:
//
//	     Raise, Clear, Owe        ┌──────── Retry ────────┐
//	(nothing) ────────────▶ pending ──────── Take ───────▶ sending ─── Sent ──▶ sent
//	                        ▲  │  │                       │  │  ▲ │
//	                        │  │  │                       │  │  └─┘ Take: the lease
//	                 Revive │  │  └──── Bury ────┐ ┌─Bury─┘  │      passed, or the
//	                        │  │                 ▼ ▼         │      owner is dead
//	                        └──┼──────────────── dead        │
//	                           │ Clear, of an    │ Clear     │ Retry or Bury, of an
//	                           │ open            │           │ open whose incident
//	                           ▼                 ▼           ▼ has ended
//	                           └────────────▶ superseded ◀───┘
//
// Superseded is only ever the notice of an opening, by that of the end, which
// is then Combined: one message says both. While the notice of the opening is
// being sent, that of the end waits behind it, pending. Whatever state a notice
// is in but superseded, Sent makes it sent: a message that was accepted was
// accepted.
package runner
