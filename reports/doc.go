// Package reports turns what the ledger has into figures and documents: the
// operational figures (KPIs) with their verdicts, a performance report, and the
// post-mortem of an incident.
//
// It computes and writes text, nothing else: it starts nothing, asks no check,
// changes nothing on record, and reads through the small interfaces of Source.
//
// A figure is honest before it is pretty. It says how much it rests on (N and
// coverage), and when that is too little it is "insufficient data" and not
// "met"; without anything to rest on it is "no source". The rows behind a figure
// come with it, so that everybody can follow it.
package reports
