package pgvacuum

import "time"

// Need says what a table needs, for tests of statements.
type Need struct {
	Kind                         string
	Vacuum, Toast, Analyze, Full bool
}

// Statements returns what is said to a server of that major version about the
// table app.orders, whose TOAST table is pg_toast_1.
func Statements(o Options, n Need, major int, skip bool) []string {
	t := table{Schema: "app", Name: "orders", Kind: n.Kind, ToastName: "pg_toast_1"}
	return o.statements(work{table: t, vacuum: n.Vacuum, toast: n.Toast, analyze: n.Analyze, full: n.Full}, major, skip)
}

// InWindow tells whether a window of the day holds t.
func InWindow(text string, t time.Time) (bool, error) {
	w, err := parseWindow(text)
	return err == nil && w.holds(t), err
}

// Matches tells whether a pattern chooses a table.
func Matches(pattern, schema, name string) bool { return newPattern(pattern).match(schema, name) }
