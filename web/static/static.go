// Package static holds the style sheet, the scripts and the icon of upkeep's
// pages, and serves them compressed and for ever: the address of a file names
// its content. It refuses to know any page.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// Prefix is where the files are served.
const Prefix = "/static/"

//go:embed app.js style.css more.css icon.svg vendor/htmx.min.js vendor/uplot.min.js vendor/uplot.min.css
var embedded embed.FS

// names are the files by the name of their address.
func names() map[string]string {
	return map[string]string{
		"app.js": "app.js", "style.css": "style.css", "more.css": "more.css", "icon.svg": "icon.svg", "htmx.js": "vendor/htmx.min.js",
		"uplot.js": "vendor/uplot.min.js", "uplot.css": "vendor/uplot.min.css",
	}
}

// Files serves the files. Its methods may be called from several goroutines.
type Files struct{ byName map[string]*file }

// file is one of them.
type file struct {
	body        []byte
	hash        string
	contentType string
	packed      func() []byte
}

// hashLength is how many digits of a file's SHA-256 its address has.
const hashLength = 16

// Load reads the files that are part of this program.
func Load() (*Files, error) {
	f := &Files{byName: map[string]*file{}}
	for name, place := range names() {
		body, err := embedded.ReadFile(place)
		if err != nil {
			return nil, fmt.Errorf("load the files of the pages: %w", err)
		}
		sum := sha256.Sum256(body)
		f.byName[name] = &file{
			body: body, hash: hex.EncodeToString(sum[:])[:hashLength], contentType: contentType(name),
			packed: sync.OnceValue(func() []byte { return pack(body) }),
		}
	}
	return f, nil
}

// contentType does not depend on what the machine has installed.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

func pack(body []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil || b.Len() >= len(body) {
		return nil // served as it is
	}
	return b.Bytes()
}

// URL is the address of a file, which changes with its content. It is an error
// when there is no such file.
func (f *Files) URL(name string) (string, error) {
	file, ok := f.byName[name]
	if !ok {
		return "", fmt.Errorf("the pages have no file %q", name)
	}
	return Prefix + name + "?v=" + file.hash, nil
}

// ServeHTTP answers GET and HEAD below Prefix.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := f.byName[strings.TrimPrefix(r.URL.Path, Prefix)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", file.contentType)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Vary", "Accept-Encoding")
	tag := `"` + file.hash + `"`
	header.Set("ETag", tag)
	header.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == file.hash {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := file.body
	if packed := file.packed(); packed != nil && AcceptsGzip(r.Header.Get("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		body = packed
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone needs no answer
	}
}

// AcceptsGzip reads an Accept-Encoding (RFC 9110, section 12.5.3).
func AcceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			weight = strings.TrimPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
			q, err := strconv.ParseFloat(weight, 64)
			return weight == "" || err == nil && q > 0
		}
	}
	return false
}
