package pages

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"sync"

	"github.com/ghosteam/upkeep/web/static"
)

// leastPacked is the length from which compression pays for itself.
const leastPacked = 1024

// packer compresses pages. It keeps what that takes, which is more than a page.
// Its methods may be called from several goroutines.
type packer struct{ writers sync.Pool }

// pack returns a page as it goes over the wire, and says so in the header.
func (p *packer) pack(header http.Header, r *http.Request, body []byte) []byte {
	if len(body) < leastPacked || !static.AcceptsGzip(r.Header.Get("Accept-Encoding")) {
		return body
	}
	var b bytes.Buffer
	w, ok := p.writers.Get().(*gzip.Writer)
	if ok {
		w.Reset(&b)
	} else {
		w, _ = gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is one of its own
	}
	defer p.writers.Put(w)
	if _, err := w.Write(body); err != nil {
		return body
	}
	if err := w.Close(); err != nil {
		return body
	}
	header.Set("Content-Encoding", "gzip")
	return b.Bytes()
}
