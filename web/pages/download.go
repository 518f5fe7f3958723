package pages

import (
	"net/http"
	"path"
	"strconv"
	"strings"
)

// download registers a file that browsers save instead of showing it: a report
// has styles of its own, which the policy of the pages does not allow.
func (p *Pages) download(pattern, contentType string, read func(v *visit) ([]byte, error)) {
	p.handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := p.visit(r)
		body, err := read(v)
		if err != nil {
			p.fail(w, v, err)
			return
		}
		header := w.Header()
		header.Set("Content-Type", contentType)
		header.Set("Content-Disposition", `attachment; filename="`+fileName(v)+`"`)
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Length", strconv.Itoa(len(body)))
		if _, err := w.Write(body); err != nil {
			return // a client that has gone needs no answer
		}
	}))
}

// fileName is what a browser calls a report: plain letters only.
func fileName(v *visit) string {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, v.PathValue("id"))
	return "post-mortem-" + id + path.Ext(v.URL.Path)
}
