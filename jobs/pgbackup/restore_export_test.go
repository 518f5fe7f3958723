package pgbackup

// SplitSQL and WordsOf read what pg_dumpall writes, for fuzzing.
var (
	SplitSQL = splitSQL
	WordsOf  = wordsOf
)
