// Package health watches the system in between: a Monitor asks every
// configured check on its interval, judges the answers, and puts on record what
// is wrong and what is well again. It knows probes only as jobs.Job and the
// ledger as the interfaces of package runner. It refuses to poll: each check
// has a timer of its own, and what happens in between (a ping, a failure of
// what a check depends on, somebody who wants to know now) wakes it.
//
// # Phases
//
// A check is well, or on its way. The numbers are fail_after and ok_after:
//
//	              good                          bad
//	            ┌──────┐                      ┌──────┐
//	            ▼      │                      ▼      │
//	         ┌────────────┐      bad       ┌────────────┐
//	  ──────▶│    well    │ ─────────────▶ │  suspect   │
//	         └────────────┘ ◀───────────── └────────────┘
//	            ▲                good             │
//	            │                                 │ fail_after bad in a row:
//	ok_after    │                                 │ the incident opens
//	good in     │                                 ▼
//	a row: the  │                bad       ┌────────────┐
//	incident    │           ┌───────────▶  │  failing   │ ◀──┐
//	is cleared  │           │              └────────────┘    │ bad
//	            │           │                     │ └────────┘
//	         ┌────────────┐ │                     │ good
//	         │ recovering │ ┘ ◀───────────────────┘
//	         └────────────┘
//
// Suspect and recovering checks are asked every retry_every, the others every
// interval.
//
// # Hysteresis
//
// Failing has two levels, critical and warning, and answers count for both
// apart. fail_after critical answers in a row make a check critical; fail_after
// answers in a row that are not healthy, of whatever sort, make it at least a
// warning. A critical check becomes a warning after ok_after answers in a row
// that are not critical, and is well after ok_after healthy ones. So a value
// that moves around a limit changes nothing.
//
// An answer is unknown when the check itself is at fault: the probe panicked,
// broke, or could not be made. It is no good answer, so it clears nothing, and
// no proof of a failure, so it does not make a check critical. fail_after
// unknown answers in a row are a warning of their own: nobody sees whether the
// thing works. When this machine's own network is down (Connectivity), answers
// that say that something cannot be reached do not count at all.
//
// A failing check whose dependency fails too is folded into it: its fault has a
// parent. While the dependency is itself only suspect, the fault of the child
// waits until that one is decided, for at most the time that this takes.
package health
