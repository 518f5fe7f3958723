// Package logbook holds the handlers behind the log of upkeep: thresholds by
// the name of a logger that may change while the program runs, what a context
// knows of the request under way, three sets of keys for JSON, and a file that
// is rotated by size and age.
//
// It is a leaf: it knows records and files, and nothing of runs or requests.
// Parts name their logger by an attribute, log.With(logbook.Logger("ticker")),
// and everything else is log/slog.
package logbook
