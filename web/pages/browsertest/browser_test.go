package browsertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/web/pages/browsertest"
)

// TestHarness proves that the harness can fail: it shows a page that is wrong
// in every way that it looks for.
func TestHarness(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		switch r.URL.Path {
		case "/bad.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = fmt.Fprint(w, "console.error('planted'); setTimeout(() => { throw new Error('thrown') })")
		case "/good":
			_, _ = fmt.Fprint(w, `<!doctype html><html lang="en"><title>good</title><main><h1>All is well</h1><a href="/bad">on</a></main></html>`)
		default:
			_, _ = fmt.Fprint(w, `<!doctype html><html><title>bad</title><script src="/bad.js"></script><script>document.title = 'inline'</script>
				<body><img src="/missing.png"><p style="color: red">styled</p><button></button><div id="wide">wide</div></body></html>`)
		}
	}))
	t.Cleanup(server.Close)
	tab := browsertest.Open(t).Tab(t, server.URL)
	tab.Open("/good")
	tab.AwaitText("all is WELL")
	tab.Accessible()
	tab.Follow("on")
	tab.Await("the exception", "document.readyState === 'complete'")
	tab.Frame()
	for _, want := range []string{"planted", "thrown", "inline script", "inline style"} {
		tab.AwaitComplaint(want)
		tab.Allow(want)
	}
	tab.Allow("") // the rest is as wanted
	serious := strings.Join(tab.Serious(), " ")
	for _, want := range []string{"button-name", "image-alt", "html-has-lang"} {
		if !strings.Contains(serious, want) {
			t.Errorf("axe does not find %s: %s", want, serious)
		}
	}
	if got := tab.Path(); got != "/bad" {
		t.Errorf("the tab is at %s", got)
	}
	if !strings.Contains(tab.Source(), "styled") {
		t.Error("the source of the page lacks its text")
	}
}
