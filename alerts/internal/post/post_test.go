package post_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/post"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

func TestAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	tests := map[string]struct {
		after, date string
		want        time.Duration
	}{
		"nothing":                {"", "", 0},
		"seconds":                {"30", "", 30 * time.Second},
		"spaces":                 {" 30 ", "", 30 * time.Second},
		"none":                   {"0", "", 0},
		"too many":               {"86400", "", time.Hour},
		"far too many":           {strings.Repeat("9", 40), "", time.Hour},
		"negative":               {"-5", "", 0},
		"a fraction":             {"1.5", "", 0},
		"a date":                 {date(time.Minute), "", time.Minute},
		"a date of the past":     {date(-time.Minute), "", 0},
		"a date of next year":    {date(9000 * time.Hour), "", time.Hour},
		"a server an hour ahead": {date(61 * time.Minute), date(time.Hour), time.Minute},
		"words":                  {"tomorrow", "", 0},
	}
	for name, test := range tests {
		h := http.Header{}
		h.Set("Retry-After", test.after)
		h.Set("Date", test.date)
		if got := post.After(h, now); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func FuzzAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("Sat, 14 Mar 2026 12:00:00 GMT", "Sat, 14 Mar 2026 11:00:00 GMT")
	f.Fuzz(func(t *testing.T, after, date string) {
		h := http.Header{"Retry-After": {after}, "Date": {date}}
		if got := post.After(h, time.Unix(0, 0)); got < 0 || got > time.Hour {
			t.Errorf("%q at %q: %s", after, date, got)
		}
	})
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text  string
		plain bool
		ok    bool
	}{
		"https":             {"https://example.org/x?y=z", false, true},
		"a port":            {"https://example.org:8443/", false, true},
		"this machine":      {"http://127.0.0.1:9/x", false, true},
		"this machine by 6": {"http://[::1]:9/x", false, true},
		"localhost":         {"http://localhost/x", false, true},
		"http":              {"http://example.org/x", false, false},
		"http, allowed":     {"http://example.org/x", true, true},
		"localhost.evil":    {"http://localhost.example.org/x", false, false},
		"empty":             {"", false, false},
		"no scheme":         {"example.org/x", false, false},
		"no host":           {"https:///x", false, false},
		"another scheme":    {"ftp://example.org/x", true, false},
		"a line end":        {"https://example.org/x\n", false, false},
		"a fragment":        {"https://example.org/x#y", false, false},
	}
	for name, test := range tests {
		err := post.CheckURL("url", test.text, test.plain)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && jobs.HintOf(err) == "" && !hasHint(err) {
			t.Errorf("%s: no hint: %v", name, err)
		}
	}
}

func hasHint(err error) bool {
	field, ok := errors.AsType[*jobs.FieldError](err)
	return ok && field.Hint != ""
}

func options() post.Options {
	o := post.Defaults()
	o.Timeout = unit.Duration(5 * time.Second)
	return o
}

// TestDo_Proxy: without a word nothing goes through a proxy, whatever the
// environment says; with one it does.
func TestDo_Proxy(t *testing.T) {
	t.Parallel()
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Host)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer proxy.Close()
	direct := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer direct.Close()
	o := options()
	for text, want := range map[string]int{"": http.StatusOK, proxy.URL: http.StatusAccepted} {
		o.Proxy = secret.New(text)
		a, err := post.New("it", o, false, nil, nil).Do(t.Context(), post.Request{Method: "POST", URL: direct.URL, Body: []byte("{}")})
		if err != nil || a.Status != want {
			t.Errorf("proxy %q: %+v, %v", text, a, err)
		}
	}
	if u, _ := url.Parse(direct.URL); len(asked) != 1 || asked[0] != u.Host {
		t.Errorf("the proxy was asked for %v", asked)
	}
}

// TestDo_Answer: an answer is read in part, and its connection is not kept.
func TestDo_Answer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.Close {
			t.Error("the connection is to be kept")
		}
		_, _ = w.Write([]byte(strings.Repeat("x", 1<<20)))
	}))
	defer server.Close()
	a, err := post.New("it", options(), false, nil, nil).Do(t.Context(), post.Request{Method: "POST", URL: server.URL})
	if err != nil || len(a.Body) != 64<<10 {
		t.Errorf("%d bytes, %v", len(a.Body), err)
	}
}

// TestDo_Slow: the end of the options' time is the cause, and nothing of the
// address is told.
func TestDo_Slow(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush() // a beginning, and nothing more
		<-stop
	}))
	defer server.Close()
	defer close(stop)
	o := options()
	o.Timeout = unit.Duration(300 * time.Millisecond)
	at := server.URL + "/secret-0123456789"
	_, err := post.New("it", o, false, []string{at}, nil).Do(t.Context(), post.Request{Method: "POST", URL: at})
	if _, ok := errors.AsType[*alerts.TemporaryError](err); !ok || !strings.Contains(err.Error(), "no answer within 300ms") || strings.Contains(err.Error(), "secret-0123456789") {
		t.Errorf("Do = %v", err)
	}
	cause := errors.New("over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err = post.New("it", o, false, nil, nil).Do(ctx, post.Request{Method: "POST", URL: at}); !errors.Is(err, cause) {
		t.Errorf("Do = %v", err)
	}
}

// TestScrub takes out what opens an address, and leaves what people must read.
func TestScrub(t *testing.T) {
	t.Parallel()
	const at = "https://user:pass-word-1@hooks.example.org:8443/services/T0000/B000000000/token0123456789?key=query0123456789"
	c := post.New("it", options(), false, []string{at}, []string{"another-secret"})
	got := c.Scrub("GET " + at + " or /services/T0000/B000000000/token0123456789 or token0123456789, query0123456789, pass-word-1, another-secret at hooks.example.org:8443 services")
	for _, bad := range []string{"token0123456789", "query0123456789", "pass-word-1", "another-secret", "B000000000"} {
		if strings.Contains(got, bad) {
			t.Errorf("%q is left in %q", bad, got)
		}
	}
	if !strings.Contains(got, "at hooks.example.org:8443 services") {
		t.Errorf("too much is gone: %q", got)
	}
}
