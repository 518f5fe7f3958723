// Package runbook starts workflows when checks fail, and finds out whether that
// helped. It knows when a runbook is due, everything that speaks against starting
// it, and how to judge it by the check that started it. It refuses to act while
// people are at work, in storms, beyond its budget, and a third time when twice
// was in vain. It runs nothing itself, asks no probe, and keeps no state but what
// the ledger has of its runs.
//
// A runbook is due when its trigger has held for as long as it says, by every
// answer of the check. One run of it is under way at most:
//
//	due ──refused──▶ (recorded once)
//	 │
//	 └─▶ run asked for ──▶ approved ──▶ ended ──▶ fixed
//	        │    mode: approve             │ └────▶ not_fixed, worse ──twice──▶ paused, incident runbook/NAME
//	        │                              └─ dry ▶ observed
//	        └─▶ dropped: turned down, or the check is well again
//
// Answers from before the end of a run and its grace never start another one.
package runbook
