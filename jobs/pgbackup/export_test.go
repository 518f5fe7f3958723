package pgbackup

import "io"

// ReadScript reads what pg_restore writes, for fuzzing.
func ReadScript(r io.Reader) (rows map[[2]string]int64, objects int64, err error) {
	s := newScript(r)
	err = s.read()
	return s.rows, s.objects, err
}

// CountBatches returns how many tables of these sizes each statement counts.
func CountBatches(sizes []int64) []int {
	var tables []*listed
	for _, bytes := range sizes {
		tables = append(tables, &listed{Bytes: bytes})
	}
	var out []int
	for len(tables) > 0 {
		n := batchOf(tables)
		out, tables = append(out, n), tables[n:]
	}
	return out
}

// Complain adds what a program said, written in pieces, to its error.
func Complain(err error, said string) error { return saying(said).explain(err) }

// Said is what is kept of what a program said.
func Said(said string) []string { return saying(said).lines() }

func saying(said string) *tail {
	t := &tail{}
	for len(said) > 0 {
		n := min(len(said), 1000)
		_, _ = t.Write([]byte(said[:n])) // it never fails
		said = said[n:]
	}
	return t
}
