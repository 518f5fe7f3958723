// Package executor works on one run at a time per call of Handle: it claims
// the run, compiles the frozen workflow, runs its jobs in the order that
// `needs:`, `when:` and `if:` allow, and puts every move on record before it
// acts on it. It knows the ledger and the compiler as small interfaces and
// refuses to know databases, queues, YAML and any particular kind of job.
//
// The states of runs and attempts are drawn in package runner. This is the
// life of a job in a run under way:
//
//	           needs have ended, when: and if: agree,
//	           a slot and all locks are free
//	waiting ───────────────────────────────────────▶ running
//	  │  ▲                                            │ │ │
//	  │  └────────── a retry follows (backoff) ───────┘ │ │
//	  │                                                 │ │ shutdown
//	  │ ruled out, or the run was        done, failed,  │ ▼
//	  │ canceled or timed out            canceled       │ interrupted
//	  ▼                                                 │ (the next claim
//	ended ◀─────────────────────────────────────────────┘  goes on with it)
//
// # The loop
//
// Each run has one goroutine that decides. Per turn it takes all completions
// that are there, decides what is skipped and what begins, and records the
// whole in one Advance; a run of one job costs a claim and two of these. A job
// starts when its beginning is on record, so that a crash at any point leaves
// a trace of everything that may have had effects. What other goroutines ask
// for (cancel, timeout, shutdown, takeover) reaches the contexts of running
// jobs at once, also while the ledger hangs; see halt.
//
// # Rules
//
// A need is satisfied by a job that succeeded or warned, or that failed with
// continue_on_error. A skipped need satisfies nothing: what needs it with
// `when: success` is skipped as well, whatever the reason was. `when: failure`
// starts when a need failed, was lost or canceled, also with
// continue_on_error, or was skipped because of such a job before it; a need
// that its own `if:` ruled out is no failure. `when: always` starts when all
// needs have ended, also after a cancel or the run's timeout; it then has its
// own timeout, or 10 minutes. `if:` is asked after that. A condition that
// cannot be evaluated fails the job with reason condition.
//
// A run that is restricted to some jobs treats what these need, and what it
// leaves out, as satisfied; a job whose needs are all left out starts whatever
// its `when:` says, and an `if:` that asks about jobs left out counts as true:
// the person who named the job has decided.
//
// An error after the attempt's context ended is put down to that end. A job
// that returns no error has done its work in time. Retried are errors that are
// not permanent, panics and the attempt's own timeout; never refusals,
// findings, and nothing after a cancel, the run's timeout or a shutdown. Waits
// hold neither a slot nor a lock. A dry run takes no locks.
//
// # Stopping
//
// A cancel, the run's timeout and the close of its window (on_close: stop) end
// what runs, except for `when: always`
// jobs, and skip what has not begun. A shutdown ends all attempts as canceled
// with reason shutdown and releases the run; the next claim begins these jobs
// again. A job that must not be repeated is lost then, as after a crash. A job that ignores its context is waited for as long as its children
// may take to die (kill_grace) and 10 seconds more. Then it is given up: its
// goroutine cannot be ended, so the attempt fails and says that its code may
// still be running, its output is cut off, its locks are freed and the run
// goes on. After a shutdown, such a run is not released: its attempt is found
// lost when the process is gone.
//
// A run of the calendar that comes to its turn outside its window is skipped.
// The close of a window cancels the run, with reason window; with on_close:
// warn it is noted in the run's message. Runs that people ask for or retry are
// not bound.
//
// On a full disk a run waits until its steps can be recorded; its jobs go on,
// and what they say can only be read when it is on record. OnNoSpace is called
// as long as that lasts.
//
// A write that finds the claim stale ends everything without a word: nothing
// is recorded and no event is told.
//
// # Resuming
//
// What attempts on record say is the run's progress. Done jobs stay done. A
// lost attempt is begun anew, at most three times per job, unless on_crash
// says never; then the job stays lost and the run fails. Before that, children
// and folders that the dead process left on this host are removed, and the
// output that the attempt had written is put on record.
//
// # Planned restarts
//
// A job that is about to end upkeep itself says so first (jobs.Env.PlanRestart),
// and that is on record before it goes on. When the process ends after that,
// the attempt is neither lost nor canceled: the next owner of the run builds
// the job and asks it to judge what it finds (jobs.Survivor), under the same
// number, in the same private folder, with the output going on. What the job
// left at work is not ended before it was judged. A job that cannot judge fails
// with reason crash. While a process drains or shuts down it does not wait for
// such attempts: the run is given back when its other jobs have ended, and
// begins nothing new meanwhile. A cancel and a timeout end them like any other;
// the job's timeout counts anew for the judgement.
package executor
