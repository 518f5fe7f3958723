package pgbackup

// Statements cuts the output of pg_dumpall.
func Statements(text string) []string { return statements(text) }
