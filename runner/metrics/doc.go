// Package metrics turns what happens in this process into Prometheus metrics:
// runs and attempts (it is a runner.Observer), answers of checks (a
// runner.CheckObserver), notices, incidents, requests, reloads and the log.
//
// It knows the words of running and nothing else: no configuration, no ledger
// but through the words' interfaces, no HTTP server. What it shows follows four
// rules.
//
// Labels hold names of the configuration and words of closed lists only: never
// the ID of a run, a path, a user or the text of an error. All series of what is
// configured are there from the beginning, counters at 0, so that an increase is
// never missed; gauges of what nobody has measured yet are absent. There are at
// most Options.Series series: what would be more is refused and counted. And
// nothing is looked for at a scrape: what lives in the ledger is filled in once
// and kept by events.
//
// Counters begin anew with each process, as Prometheus expects.
package metrics
