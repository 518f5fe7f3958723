// Package forecast says what the calendar is about to do: which slots come, how
// long their runs will take, and what will surprise somebody: runs that meet
// themselves or each other, windows that are too short, clock changes, months
// without a day, forgotten pauses.
//
// It knows schedules, usual durations and pauses as they are given to it. It
// reads no clock, no ledger and no configuration, starts nothing, and the same
// input always has the same forecast, in the same order. Its work and memory
// are bounded: slots are merged from a heap in order of time, workflows that
// run often become one line, and what was left out is said and counted.
//
// # What is simulated
//
// A run starts at its slot plus the workflow's jitter and takes as long as it
// usually does (the median). It is left out where it would be recorded as
// skipped: the workflow is paused, its window is closed or would close too early
// (at the 95th percentile), or with overlap skip the run before it still runs.
// With overlap queue it waits for that run. Of the others at most max_running
// run at once; the next one in order of time waits for the first that ends.
//
// A run is taken to hold the locks of all of its jobs from its beginning to its
// end, so a lock that two runs share is found even when in the end they miss
// each other. Workflows without a usual duration take no time in the
// simulation; a finding says how many they are.
package forecast
