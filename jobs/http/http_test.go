package http_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	kind "github.com/ghosteam/upkeep/jobs/http"
	"github.com/ghosteam/upkeep/jobs/jobstest"
)

const token = "planted-token-0123456789"

// run builds the job from changed defaults and runs it once.
func run(t *testing.T, hooks jobs.Hooks, change func(o *kind.Options)) (jobs.Result, string, error) {
	t.Helper()
	return runUnder(t.Context(), t, hooks, change)
}

func runUnder(ctx context.Context, t *testing.T, hooks jobs.Hooks, change func(o *kind.Options)) (jobs.Result, string, error) {
	t.Helper()
	options := kind.Kind().Options()
	o := jobstest.Options[kind.Options](t, options)
	o.Timeout = unit.Duration(30 * time.Second) // a test machine may be busy
	change(o)
	job, err := kind.Kind().Build(options, jobstest.NewDeps(t))
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	out := &jobstest.Buffer{}
	r, err := job.Run(ctx, jobs.NewEnv(jobs.Env{RunID: "run-1", Job: "ask", Version: "v0", Out: out}, hooks))
	if err == nil {
		jobstest.CheckResult(t, r)
	}
	return r, out.String(), err
}

func ids(r jobs.Result) string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.ID+"="+string(f.Severity))
	}
	return strings.Join(out, " ")
}

// model answers like a server of a model, and counts.
type model struct {
	*httptest.Server
	posts atomic.Int64
}

func newModel(t *testing.T, start func(*httptest.Server)) *model {
	t.Helper()
	m := &model{}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"ok","models":[{"name":"a/b","score":0.25,"n":12345678901234567890}],"token":"`+token+`"}`)
	})
	mux.HandleFunc("/predict", func(w http.ResponseWriter, r *http.Request) {
		m.posts.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || len(body) == 0 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, `{"predictions":[0.5,1],"bytes":%d,"key":%q}`, len(body), r.Header.Get("Idempotency-Key"))
	})
	mux.HandleFunc("/secret", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Header.Get("X-Token") != token && r.URL.Query().Get("token") != token && password != token {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, user+r.Header.Get("X-Token"))
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "Traceback "+token)
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/hangup", func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = c.Close()
		}
	})
	mux.HandleFunc("/circle", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/circle", http.StatusFound) })
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	m.Server = httptest.NewUnstartedServer(mux)
	start(m.Server)
	t.Cleanup(m.Close)
	return m
}

func TestExpectations(t *testing.T) {
	t.Parallel()
	m := newModel(t, (*httptest.Server).Start)
	text := func(s string) *string { return &s }
	number := func(f float64) *float64 { return &f }
	for name, tt := range map[string]struct {
		path   string
		expect kind.Expect
		want   string
	}{
		"plain":           {"/health", kind.Expect{}, ""},
		"status":          {"/broken", kind.Expect{}, "http:status=critical"},
		"class":           {"/broken", kind.Expect{Status: []string{"200", "5xx"}}, ""},
		"range":           {"/health", kind.Expect{Status: []string{"201-299"}}, "http:status=critical"},
		"header":          {"/health", kind.Expect{Headers: map[string]string{"content-type": "^application/json$"}}, ""},
		"other header":    {"/health", kind.Expect{Headers: map[string]string{"X-Version": ""}}, "http:header=critical"},
		"contains":        {"/health", kind.Expect{Contains: []string{`"ok"`}}, ""},
		"does not":        {"/health", kind.Expect{Contains: []string{"nothing"}}, "http:body=critical"},
		"absent":          {"/broken", kind.Expect{Status: []string{"500"}, Absent: []string{"Traceback"}}, "http:body=critical"},
		"matches":         {"/health", kind.Expect{Matches: []string{`"status":"o."`}}, ""},
		"does not match":  {"/health", kind.Expect{Matches: []string{`^ok$`}}, "http:body=critical"},
		"equals":          {"/health", kind.Expect{JSON: []kind.JSON{{At: "/status", Equals: text("ok")}}}, ""},
		"slash":           {"/health", kind.Expect{JSON: []kind.JSON{{At: "/models/0/name", Equals: text("a/b")}}}, ""},
		"number":          {"/health", kind.Expect{JSON: []kind.JSON{{At: "/models/0/score", Equals: text("0.250")}}}, ""},
		"big":             {"/health", kind.Expect{JSON: []kind.JSON{{At: "/models/0/n", Equals: text("12345678901234567890")}}}, ""},
		"not equal":       {"/health", kind.Expect{JSON: []kind.JSON{{At: "/status", Equals: text("down")}}}, "http:body=critical"},
		"in the range":    {"/health", kind.Expect{JSON: []kind.JSON{{At: "/models/0/score", Min: number(0.2), Max: number(0.3), Value: "score"}}}, ""},
		"below":           {"/health", kind.Expect{JSON: []kind.JSON{{At: "/models/0/score", Min: number(0.3)}}}, "http:body=critical"},
		"no number":       {"/health", kind.Expect{JSON: []kind.JSON{{At: "/status", Min: number(0.3)}}}, "http:body=critical"},
		"nothing there":   {"/health", kind.Expect{JSON: []kind.JSON{{At: "/models/1"}}}, "http:body=critical"},
		"no JSON":         {"/broken", kind.Expect{Status: []string{"500"}, JSON: []kind.JSON{{At: "/a"}}}, "http:body=critical"},
		"assert":          {"/health", kind.Expect{Assert: []string{`status == 200 && len(json.models) == 1 && json.models[0].score < 0.3 && header["content-type"] contains "json"`}}, ""},
		"assert false":    {"/health", kind.Expect{Assert: []string{"seconds < 0"}}, "http:body=critical"},
		"assert on air":   {"/health", kind.Expect{Assert: []string{"json.nothing.there > 1"}}, "http:body=critical"},
		"hangup":          {"/hangup", kind.Expect{}, "http:tcp=critical"},
		"endless":         {"/endless", kind.Expect{}, ""},
		"endless body":    {"/endless", kind.Expect{Contains: []string{"x"}}, "http:body=critical"},
		"unauthenticated": {"/secret", kind.Expect{}, "http:status=critical"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, out, err := run(t, jobs.Hooks{}, func(o *kind.Options) { o.URL, o.Expect = m.URL+tt.path, tt.expect })
			if err != nil || ids(r) != tt.want {
				t.Errorf("findings %v, error %v, want %q", r.Findings, err, tt.want)
			}
			if strings.Contains(fmt.Sprint(r, out), token) {
				t.Errorf("the body is shown: %+v\n%s", r, out)
			}
			if name == "in the range" && r.Values["score"] != 0.25 {
				t.Errorf("values %v", r.Values)
			}
			if name == "plain" && (r.Values["status"] != 200 || r.Values["total_seconds"] <= 0 || r.Values["connect_seconds"] <= 0 || r.Values["first_byte_seconds"] <= 0) {
				t.Errorf("values %v", r.Values)
			}
			if name == "endless" && r.Values["body_bytes"] != 1<<20 {
				t.Errorf("values %v", r.Values)
			}
		})
	}
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	m := newModel(t, (*httptest.Server).Start)
	secure := newModel(t, (*httptest.Server).StartTLS)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(o *kind.Options)
		want   string
	}{
		"dns":     {func(o *kind.Options) { o.URL = "http://nowhere.invalid/" }, "http:dns=critical"},
		"tcp":     {func(o *kind.Options) { o.URL = closed }, "http:tcp=critical"},
		"unknown": {func(o *kind.Options) { o.URL = secure.URL + "/health" }, "http:tls=critical"},
		"trusted": {func(o *kind.Options) { o.URL, o.TLS.CA = secure.URL+"/health", unit.Path(ca) }, ""},
		"other name": {func(o *kind.Options) {
			o.URL, o.TLS.CA, o.TLS.ServerName = secure.URL+"/health", unit.Path(ca), "a.invalid"
		}, "http:tls=critical"},
		"insecure":     {func(o *kind.Options) { o.URL, o.TLS.Insecure = secure.URL+"/health", true }, "tls:unverified=warning"},
		"no TLS there": {func(o *kind.Options) { o.URL = strings.Replace(m.URL, "http:", "https:", 1) }, "http:tls=critical"},
		"timeout":      {func(o *kind.Options) { o.URL, o.Timeout = m.URL+"/silent", unit.Duration(50*time.Millisecond) }, "http:timeout=critical"},
		"slow":         {func(o *kind.Options) { o.URL, o.Latency.Warn = m.URL+"/health", 1 }, "http:latency=warning"},
		"too slow":     {func(o *kind.Options) { o.URL, o.Latency.Crit = m.URL+"/health", 1 }, "http:latency=critical"},
		"redirect":     {func(o *kind.Options) { o.URL = m.URL + "/to?to=/health" }, ""},
		"redirect shown": {func(o *kind.Options) {
			o.URL, o.Redirects, o.Expect.Status = m.URL+"/to?to=/health", "none", []string{"307"}
		}, ""},
		"elsewhere": {func(o *kind.Options) { o.URL = m.URL + "/to?to=" + url.QueryEscape(closed) }, "http:redirect=critical"},
		"circle":    {func(o *kind.Options) { o.URL = m.URL + "/circle" }, "http:redirect=critical"},
		"from https": {func(o *kind.Options) {
			o.URL, o.TLS.CA, o.Redirects = secure.URL+"/to?to="+url.QueryEscape(m.URL+"/health"), unit.Path(ca), "any"
		}, "http:redirect=critical"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, err := run(t, jobs.Hooks{}, tt.change)
			if err != nil || ids(r) != tt.want {
				t.Errorf("findings %v, error %v, want %q", r.Findings, err, tt.want)
			}
			if name == "trusted" && (r.Values["certificate_days"] < 1 || r.Values["tls_seconds"] <= 0) {
				t.Errorf("values %v", r.Values)
			}
		})
	}
}

// TestRedirect_LeavesSecretsBehind: what is meant for one server is not sent to
// another.
func TestRedirect_LeavesSecretsBehind(t *testing.T) {
	t.Parallel()
	m, other := newModel(t, (*httptest.Server).Start), newModel(t, (*httptest.Server).Start)
	for path, want := range map[string]string{"/secret": "", "/to?to=" + url.QueryEscape(other.URL+"/secret"): "http:status=critical"} {
		r, _, err := run(t, jobs.Hooks{}, func(o *kind.Options) {
			o.URL, o.Redirects = m.URL+path, "any"
			o.Headers = map[string]secret.String{"X-Token": secret.New(token)}
		})
		if err != nil || ids(r) != want {
			t.Errorf("%s: findings %v, error %v, want %q", path, r.Findings, err, want)
		}
	}
	r, _, err := run(t, jobs.Hooks{}, func(o *kind.Options) {
		o.URL, o.Redirects, o.Method, o.Safe, o.Body = m.URL+"/to?to="+url.QueryEscape(other.URL+"/predict"), "any", "POST", true, secret.New("{}")
	})
	if err != nil || ids(r) != "http:redirect=critical" || other.posts.Load() != 0 {
		t.Errorf("a body followed a redirect: %v, %v", r.Findings, err)
	}
}

// TestEffects: a request that changes something is an effect and none of a
// check; the golden request of a model is neither.
func TestEffects(t *testing.T) {
	t.Parallel()
	m := newModel(t, (*httptest.Server).Start)
	post := func(o *kind.Options) {
		o.URL, o.Method, o.Body, o.IdempotencyKey = m.URL+"/predict", "POST", secret.New(`{"inputs":[1,2]}`), true
		o.Expect.Contains = []string{`"key":"run-1.ask"`}
	}
	if _, out, err := run(t, jobs.Hooks{DryRun: true}, post); err != nil || !strings.Contains(out, "would send POST "+m.URL+"/predict") || m.posts.Load() != 0 {
		t.Errorf("dry run: %v, %d requests\n%s", err, m.posts.Load(), out)
	}
	if r, _, err := run(t, jobs.Hooks{}, post); err != nil || m.posts.Load() != 1 {
		t.Errorf("run: %+v, %v, %d requests", r, err, m.posts.Load())
	}
	if r, _, err := run(t, jobs.Hooks{}, func(o *kind.Options) { post(o); o.Body = secret.String{} }); err == nil || ids(r) != "http:status=critical" {
		t.Errorf("a change that failed is no error: %+v", r)
	}
	if r, _, err := run(t, jobs.Hooks{DryRun: true}, func(o *kind.Options) { post(o); o.Safe = true }); err != nil || r.Values["status"] != 200 {
		t.Errorf("golden request in a dry run: %+v, %v", r, err)
	}
	for safe, allowed := range map[bool]bool{false: false, true: true} {
		options := kind.Kind().Options()
		o := jobstest.Options[kind.Options](t, options)
		post(o)
		o.Safe = safe
		job, err := kind.Kind().Build(options, jobstest.NewDeps(t))
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := job.(jobs.Effectful); !ok || (e.Effectful() == nil) != allowed {
			t.Errorf("safe %v: may be a check = %v", safe, !allowed)
		}
	}
}

func TestRepeat(t *testing.T) {
	t.Parallel()
	m := newModel(t, (*httptest.Server).Start)
	r, out, err := run(t, jobs.Hooks{}, func(o *kind.Options) {
		o.URL, o.Method, o.Safe, o.Body = m.URL+"/predict", "POST", true, secret.New("{}")
		o.Repeat = kind.Repeat{Count: 200, Concurrency: 4, WarmUp: 10, Items: 8, MinRate: 0.001}
	})
	v := r.Values
	if err != nil || ids(r) != "" || m.posts.Load() != 210 || v["requests"] != 200 || v["errors"] != 0 || v["items_per_second"] != 8*v["requests_per_second"] ||
		v["p50_seconds"] <= 0 || v["p50_seconds"] > v["p95_seconds"] || v["p95_seconds"] > v["p99_seconds"] || v["p99_seconds"] > v["max_seconds"] {
		t.Errorf("%+v, %v, %d requests\n%s", r, err, m.posts.Load(), out)
	}
	var n atomic.Int64
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%10 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(flaky.Close)
	for share, want := range map[unit.Share]string{0: "http:status=critical", 10: "http:status=warning"} {
		r, _, err := run(t, jobs.Hooks{}, func(o *kind.Options) {
			o.URL, o.Repeat = flaky.URL, kind.Repeat{Count: 100, Concurrency: 3, MaxErrors: share}
		})
		if err != nil || ids(r) != want || r.Values["errors"] != 10 || r.Values["error_percent"] != 10 {
			t.Errorf("%s: %+v, %v, want %s", share, r, err, want)
		}
	}
	r, _, err = run(t, jobs.Hooks{}, func(o *kind.Options) {
		o.URL, o.Repeat = m.URL+"/health", kind.Repeat{Count: 2, Concurrency: 1, MinRate: 1e9}
	})
	if err != nil || ids(r) != "http:rate=warning" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestWait: after a restart the first answers may be bad.
func TestWait(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	r, out, err := run(t, jobs.Hooks{}, func(o *kind.Options) { o.URL, o.Wait = server.URL, unit.Duration(time.Minute) })
	if err != nil || ids(r) != "" || n.Load() != 3 || r.Values["waited_seconds"] < 1 || !strings.Contains(out, "waiting: the status is 503") {
		t.Errorf("%+v, %v, %d requests\n%s", r, err, n.Load(), out)
	}
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	m := newModel(t, (*httptest.Server).Start)
	stop := errors.New("stop")
	for _, repeat := range []int{1, 50} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, stop)
		_, _, err := runUnder(ctx, t, jobs.Hooks{}, func(o *kind.Options) { o.URL, o.Repeat.Count, o.Repeat.Concurrency = m.URL+"/silent", repeat, 3 })
		cancel()
		if !errors.Is(err, stop) {
			t.Errorf("%d requests: error %v", repeat, err)
		}
	}
}

func TestSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "upkeep-http") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	newModel(t, func(s *httptest.Server) {
		_ = s.Listener.Close()
		s.Listener = l
		s.Start()
	})
	r, _, err := run(t, jobs.Hooks{}, func(o *kind.Options) { o.URL, o.Socket = "http://api/health", unit.Path(path) })
	if err != nil || ids(r) != "" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestProxy: the environment's proxy is not used, a configured one is.
func TestProxy(t *testing.T) {
	t.Parallel()
	m := newModel(t, (*httptest.Server).Start)
	var through atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "api.invalid" && strings.HasPrefix(r.Header.Get("Proxy-Authorization"), "Basic ") {
			through.Add(1)
		}
		_, _ = io.WriteString(w, "proxied")
	}))
	t.Cleanup(proxy.Close)
	u := strings.Replace(proxy.URL, "http://", "http://me:"+token+"@", 1)
	r, out, err := run(t, jobs.Hooks{}, func(o *kind.Options) { o.URL, o.Proxy = "http://api.invalid/x", secret.New(u) })
	if err != nil || ids(r) != "" || through.Load() != 1 || strings.Contains(fmt.Sprint(r, out), token) {
		t.Errorf("%+v, %v, %d", r, err, through.Load())
	}
	m.Close()
	if r, _, err := run(t, jobs.Hooks{}, func(o *kind.Options) { o.URL = m.URL }); err != nil || ids(r) != "http:tcp=critical" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	m := newModel(t, (*httptest.Server).Start)
	fixture := func(name string, change func(root string, o *kind.Options)) jobstest.Fixture {
		return jobstest.Fixture{
			Name: name, Secrets: []string{token, "golden-" + token},
			Arrange: func(t *testing.T, root string, options any, _ *jobstest.Deps) {
				o := jobstest.Options[kind.Options](t, options)
				o.URL, o.Timeout = m.URL+"/secret?a=b", unit.Duration(30*time.Second)
				o.Headers, o.Query = map[string]secret.String{"X-Token": secret.New(token)}, map[string]secret.String{"token": secret.New(token)}
				o.Username, o.Password = "me", secret.New(token)
				change(root, o)
			},
		}
	}
	golden := func(root string, o *kind.Options) {
		o.URL, o.Method, o.BodyFile = m.URL+"/predict", "POST", unit.Path(filepath.Join(root, "golden.json"))
		if err := os.WriteFile(string(o.BodyFile), []byte("golden-"+token), 0o600); err != nil {
			t.Error(err)
		}
	}
	post := fixture("post", golden)
	post.Effects = true
	missing := fixture("no body", func(root string, o *kind.Options) { o.BodyFile = unit.Path(filepath.Join(root, "none")) })
	missing.Fails = "read the body of the request"
	refused := fixture("post that fails", func(root string, o *kind.Options) { golden(root, o); o.Expect.Contains = []string{"other"} })
	refused.Fails = "does not contain"
	jobstest.Exercise(t, kind.Kind(),
		fixture("get", func(string, *kind.Options) {}),
		fixture("refused", func(_ string, o *kind.Options) { o.URL = m.URL + "/broken" }),
		fixture("nobody", func(_ string, o *kind.Options) { o.URL = "http://" + "127.0.0.1:1/x" }),
		fixture("many", func(_ string, o *kind.Options) { o.Repeat.Count = 20; o.Repeat.Concurrency = 2 }),
		post, missing, refused,
	)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *kind.Options)
		want   string
	}{
		"no URL":      {func(o *kind.Options) { o.URL = "" }, "url: it is required"},
		"scheme":      {func(o *kind.Options) { o.URL = "ftp://x/" }, "url: it is not http://"},
		"password":    {func(o *kind.Options) { o.URL = "http://me:" + token + "@x/" }, "url: a URL with a user"},
		"fragment":    {func(o *kind.Options) { o.URL += "#a" }, "url: what follows #"},
		"method":      {func(o *kind.Options) { o.Method = "get" }, "method:"},
		"connect":     {func(o *kind.Options) { o.Method = "CONNECT" }, "method:"},
		"header":      {func(o *kind.Options) { o.Headers = map[string]secret.String{"a b": secret.New("x")} }, "headers:"},
		"header line": {func(o *kind.Options) { o.Headers = map[string]secret.String{"a": secret.New("x\r\ny: z")} }, "headers:"},
		"two bodies":  {func(o *kind.Options) { o.Body, o.BodyFile = secret.New("x"), "y" }, "body_file:"},
		"user":        {func(o *kind.Options) { o.Password = secret.New("x") }, "username:"},
		"twice": {func(o *kind.Options) {
			o.Username, o.Headers = "x", map[string]secret.String{"authorization": secret.New("x")}
		}, "username:"},
		"timeout":     {func(o *kind.Options) { o.Timeout = 0 }, "timeout:"},
		"latency":     {func(o *kind.Options) { o.Latency.Warn, o.Latency.Crit = 3e9, 1e9 }, "latency.warn:"},
		"too late":    {func(o *kind.Options) { o.Latency.Crit = 6e9 }, "latency.crit:"},
		"key":         {func(o *kind.Options) { o.TLS.Key = "x" }, "tls.certificate:"},
		"wait":        {func(o *kind.Options) { o.Method, o.Wait = "POST", 1e9 }, "wait:"},
		"proxy":       {func(o *kind.Options) { o.Proxy = secret.New("x:y") }, "proxy:"},
		"redirects":   {func(o *kind.Options) { o.Redirects = "all" }, "redirects:"},
		"count":       {func(o *kind.Options) { o.Repeat.Count = -1 }, "repeat.count:"},
		"concurrency": {func(o *kind.Options) { o.Repeat.Concurrency = 0 }, "repeat.concurrency:"},
		"rate of one": {func(o *kind.Options) { o.Repeat.MinRate = 1 }, "repeat.count:"},
		"status":      {func(o *kind.Options) { o.Expect.Status = []string{"99"} }, "expect.status[0]:"},
		"backwards":   {func(o *kind.Options) { o.Expect.Status = []string{"300-200"} }, "expect.status[0]:"},
		"regexp":      {func(o *kind.Options) { o.Expect.Matches = []string{"("} }, "expect.matches[0]:"},
		"pointer":     {func(o *kind.Options) { o.Expect.JSON = []kind.JSON{{At: "a"}} }, "expect.json[0].at:"},
		"value":       {func(o *kind.Options) { o.Expect.JSON = []kind.JSON{{At: "/a", Value: "status"}} }, "expect.json[0].value:"},
		"assert":      {func(o *kind.Options) { o.Expect.Assert = []string{"statuss == 200"} }, "expect.assert[0]:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := kind.Kind().Options()
			o := jobstest.Options[kind.Options](t, options)
			o.URL = "http://localhost/x"
			tt.change(o)
			_, err := kind.Kind().Build(options, jobstest.NewDeps(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), token) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzPointer(f *testing.F) {
	for _, seed := range []string{"", "/", "/a/0", "/a~1b/~0", "~", "/~2", "/00", "/-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, json := range []string{`{"a":[1,{"":2}]}`, `[[0]]`, `3`} {
			kind.Find(text, json)
		}
		if v, ok := kind.Find("/a~1b/~01", `{"a/b":{"~1":7}}`); !ok || v != "7" {
			t.Fatalf("found %q, %v", v, ok)
		}
	})
}
