package static_test

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/web/static"
)

func load(t *testing.T) *static.Files {
	t.Helper()
	files, err := static.Load()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// names are the files that pages load.
func names() []string {
	return []string{"app.js", "style.css", "icon.svg", "htmx.js", "uplot.js", "uplot.css"}
}

func get(t *testing.T, files *static.Files, address string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	files.ServeHTTP(w, r)
	return w
}

// TestVendored shows that the files of others are those that were looked at.
func TestVendored(t *testing.T) {
	t.Parallel()
	list, err := os.Open(filepath.Join("vendor", "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close() //nolint:errcheck // only read
	seen := map[string]bool{"SHA256SUMS": true, "README.md": true}
	for lines := bufio.NewScanner(list); lines.Scan(); {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			t.Fatalf("a line of SHA256SUMS makes no sense: %q", lines.Text())
		}
		body, err := os.ReadFile(filepath.Join("vendor", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(body); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s was changed", name)
		}
		seen[name] = true
	}
	entries, err := os.ReadDir("vendor")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !seen[e.Name()] {
			t.Errorf("%s has no checksum", e.Name())
		}
	}
	if len(seen) < 6 {
		t.Errorf("only %d files have checksums", len(seen))
	}
}

// TestServe shows that each file comes compressed, whole, and for ever.
func TestServe(t *testing.T) {
	t.Parallel()
	files := load(t)
	var all, packed int64
	for _, name := range names() {
		address, err := files.URL(name)
		if err != nil {
			t.Fatal(err)
		}
		plain := get(t, files, address, nil)
		body, err := io.ReadAll(plain.Body)
		if err != nil || plain.Code != http.StatusOK || plain.Header().Get("Content-Encoding") != "" {
			t.Fatalf("%s: %d %v", name, plain.Code, err)
		}
		if got := plain.Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("%s: Cache-Control %q", name, got)
		}
		if plain.Header().Get("Content-Type") == "" || plain.Header().Get("X-Content-Type-Options") != "nosniff" || plain.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v", name, plain.Header())
		}
		answer := get(t, files, address, http.Header{"Accept-Encoding": {"br, gzip;q=0.8"}})
		sent, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		all, packed = all+int64(len(body)), packed+int64(len(sent))
		if answer.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s is not compressed", name)
			continue
		}
		unpacked, err := gzip.NewReader(strings.NewReader(string(sent)))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(unpacked); err != nil || string(back) != string(body) {
			t.Errorf("%s does not survive its compression: %v", name, err)
		}
		again := get(t, files, address, http.Header{"If-None-Match": {plain.Header().Get("Etag")}})
		if again.Code != http.StatusNotModified {
			t.Errorf("%s: asked with its ETag: %d", name, again.Code)
		}
	}
	if all > 130<<10 || packed > 55<<10 {
		t.Errorf("the files take %d bytes, %d compressed", all, packed)
	}
}

func TestServe_Others(t *testing.T) {
	t.Parallel()
	files := load(t)
	if _, err := files.URL("nothing.js"); err == nil {
		t.Error("a file that there is not has an address")
	}
	for _, address := range []string{"/static/", "/static/nothing.js", "/static/../static.go", "/static/vendor/htmx.min.js", "/static/vendor"} {
		if got := get(t, files, address, nil).Code; got != http.StatusNotFound {
			t.Errorf("%s: %d", address, got)
		}
	}
	if got := get(t, files, "/static/app.js?v=old", nil).Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("an old address is kept: %q", got)
	}
	for accept, want := range map[string]string{"gzip": "gzip", "GZIP;q=1.0": "gzip", "gzip;q=0": "", "gzip; q=0.000": "", "identity": "", "": "", "x-gzip": "", "gzip;q=x": ""} {
		if got := get(t, files, "/static/app.js", http.Header{"Accept-Encoding": {accept}}).Header().Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: got %q", accept, got)
		}
	}
}

// TestOwn shows that our own files need nothing that the policy of the pages
// forbids.
func TestOwn(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("app.js")
	if err != nil {
		t.Fatal(err)
	}
	sheet, err := os.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"eval(", "new Function", "innerHTML", "setAttribute(\"style", "document.write", "http://", "https://"} {
		if strings.Contains(string(script), word) {
			t.Errorf("app.js has %s", word)
		}
	}
	for _, word := range []string{"url(", "@import", "expression("} {
		if strings.Contains(string(sheet), word) {
			t.Errorf("style.css has %s", word)
		}
	}
}
