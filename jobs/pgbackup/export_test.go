package pgbackup

import "io"

// ReadScript reads what pg_restore writes, for fuzzing.
func ReadScript(r io.Reader) (rows map[[2]string]int64, objects int64, err error) {
	s := newScript(r)
	err = s.read()
	return s.rows, s.objects, err
}
