package pgbackup

import (
	"errors"
	"io"
)

// withheldBytes is how much of the end of a dump pg_restore gets only when all
// of it was read and matched. The end of its last table is a few bytes long.
const withheldBytes = 4 << 10

// withheld hands out all but the last bytes of a stream until it has seen the
// stream's end, which the reader below reports only when every stored byte was
// as the manifest says. Without these bytes pg_restore cannot finish, so that
// nothing of a damaged dump is ever committed.
type withheld struct {
	r    io.Reader
	buf  []byte
	err  error
	seen bool
}

// Read implements io.Reader.
func (w *withheld) Read(p []byte) (int, error) {
	for !w.seen && len(w.buf) <= withheldBytes {
		at := len(w.buf)
		w.buf = append(w.buf, make([]byte, readBytes)...)
		n, err := w.r.Read(w.buf[at:])
		w.buf = w.buf[:at+n]
		if err != nil {
			w.seen, w.err = true, err
		}
	}
	if w.seen && !errors.Is(w.err, io.EOF) {
		return 0, w.err
	}
	ready := len(w.buf)
	if !w.seen {
		ready -= withheldBytes
	}
	if ready == 0 {
		return 0, w.err
	}
	n := copy(p, w.buf[:ready])
	w.buf = append(w.buf[:0], w.buf[n:]...)
	return n, nil
}
