package access_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
)

// keep is a place for tokens.
type keep struct {
	mu     sync.Mutex
	by     map[runner.TokenDigest]runner.Token
	looked int
	used   int
	fail   error
}

func (k *keep) TokenOf(_ context.Context, digest runner.TokenDigest) (runner.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looked++
	t, ok := k.by[digest]
	if k.fail == nil && !ok {
		return t, fmt.Errorf("look: %w", runner.ErrNotFound)
	}
	return t, k.fail
}

func (k *keep) UseToken(context.Context, string, time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used++
	return nil
}

// add makes a token and returns its text.
func (k *keep) add(t *testing.T, token runner.Token) string {
	t.Helper()
	text, digest, err := access.NewToken()
	if err != nil {
		t.Fatal(err)
	}
	token.ID = token.Name
	k.mu.Lock()
	defer k.mu.Unlock()
	k.by[digest] = token
	return text.Reveal()
}

// revoke takes all tokens back.
func (k *keep) revoke(at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for d, token := range k.by {
		token.RevokedAt = at
		k.by[d] = token
	}
}

// scene is a door with its surroundings.
type scene struct {
	door  *access.Door
	keep  *keep
	terms *access.Terms
	log   *bytes.Buffer
}

func newScene(terms access.Terms) *scene {
	s := &scene{keep: &keep{by: map[runner.TokenDigest]runner.Token{}}, terms: &terms, log: new(bytes.Buffer)}
	s.door = access.New(access.Options{Terms: func() *access.Terms { return s.terms }, Tokens: s.keep, Log: slog.New(slog.NewTextHandler(s.log, nil))})
	return s
}

// request makes a request from a place with headers in pairs.
func request(method, target, from string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "http://localhost:8620"+target, nil)
	r.RemoteAddr = from
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

const (
	here   = "127.0.0.1:40000"
	abroad = "203.0.113.7:40000"
)

// seen is what became of a request.
type seen struct {
	Name   string
	Role   runner.Role
	From   string
	Means  access.Means
	Status int
}

func (s *scene) ask(r *http.Request) (seen, http.Header) {
	w := httptest.NewRecorder()
	pass, problem := s.door.Admit(w, r)
	out := seen{Name: pass.Name, Role: pass.Role, From: pass.From, Means: pass.Means}
	if problem != nil {
		out.Status = problem.Status
	}
	return out, w.Header()
}

func bearer(token string) string { return "Bearer " + token }

func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

func hashOf(t *testing.T, password string) secret.String {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(string(hash))
}

func TestDoor_Anonymous(t *testing.T) {
	t.Parallel()
	local := access.Terms{Anonymous: runner.RoleViewer, Direct: true}
	for name, tc := range map[string]struct {
		terms access.Terms
		r     *http.Request
		want  seen
	}{
		"from here":           {local, request("GET", "/", here), seen{"anonymous", "viewer", "127.0.0.1", access.ByNothing, 0}},
		"from here by IPv6":   {local, request("GET", "/", "[::1]:1"), seen{"anonymous", "viewer", "::1", access.ByNothing, 0}},
		"from abroad":         {local, request("GET", "/", abroad), seen{"anonymous", "none", "203.0.113.7", access.ByNothing, 0}},
		"through a proxy":     {local, request("GET", "/", here, "X-Forwarded-For", "203.0.113.7"), seen{"anonymous", "none", "127.0.0.1", access.ByNothing, 0}},
		"through another":     {local, request("GET", "/", here, "Via", "1.1 squid"), seen{"anonymous", "none", "127.0.0.1", access.ByNothing, 0}},
		"said, from abroad":   {access.Terms{Anonymous: runner.RoleViewer}, request("GET", "/", abroad), seen{"anonymous", "viewer", "203.0.113.7", access.ByNothing, 0}},
		"none":                {access.Terms{Anonymous: runner.RoleNone}, request("GET", "/", here), seen{"anonymous", "none", "127.0.0.1", access.ByNothing, 0}},
		"a bad address":       {local, request("GET", "/", "pipe"), seen{"anonymous", "none", "unknown", access.ByNothing, 0}},
		"a cookie of nothing": {local, request("GET", "/", here, "Cookie", "upkeep_token="), seen{"anonymous", "viewer", "127.0.0.1", access.ByNothing, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := newScene(tc.terms).ask(tc.r)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDoor_Proxies(t *testing.T) {
	t.Parallel()
	terms := access.Terms{Anonymous: runner.RoleViewer, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}}
	for name, tc := range map[string]struct {
		r      *http.Request
		from   string
		secure bool
	}{
		"one":              {request("GET", "/", here, "X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "https"), "203.0.113.7", true},
		"two":              {request("GET", "/", here, "X-Forwarded-For", "203.0.113.7, 10.1.2.3"), "203.0.113.7", false},
		"written by eve":   {request("GET", "/", here, "X-Forwarded-For", "127.0.0.1, 198.51.100.1, 203.0.113.7"), "203.0.113.7", false},
		"several headers":  {request("GET", "/", here, "X-Forwarded-For", "198.51.100.1", "X-Forwarded-For", "203.0.113.7"), "203.0.113.7", false},
		"no address":       {request("GET", "/", here, "X-Forwarded-For", "203.0.113.7, unknown"), "127.0.0.1", false},
		"nothing":          {request("GET", "/", here), "127.0.0.1", false},
		"not a proxy":      {request("GET", "/", abroad, "X-Forwarded-For", "127.0.0.1", "X-Forwarded-Proto", "https"), "203.0.113.7", false},
		"mapped":           {request("GET", "/", "[::ffff:127.0.0.1]:1", "X-Forwarded-For", "::ffff:203.0.113.7"), "203.0.113.7", false},
		"proto of eve":     {request("GET", "/", here, "X-Forwarded-Proto", "https, http"), "127.0.0.1", false},
		"IPv6 with a zone": {request("GET", "/", "[fe80::1%eth0]:1"), "fe80::1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(terms)
			got, _ := s.ask(tc.r)
			if got.From != tc.from || s.door.Secure(tc.r) != tc.secure {
				t.Errorf("from %s, secure %t; want %s, %t", got.From, s.door.Secure(tc.r), tc.from, tc.secure)
			}
		})
	}
}

func TestDoor_Foreign(t *testing.T) {
	t.Parallel()
	named := access.Terms{Anonymous: runner.RoleViewer, Hosts: []string{"upkeep.example.com"}}
	for name, tc := range map[string]struct {
		r      *http.Request
		status int
	}{
		"our name":              {request("GET", "/", here, "Host", "localhost:8620"), 0},
		"another name":          {request("GET", "/", here, "Host", "Upkeep.Example.com.:443"), 0},
		"an address":            {request("GET", "/", here, "Host", "192.0.2.1:8620"), 0},
		"an IPv6 address":       {request("GET", "/", here, "Host", "[::1]:8620"), 0},
		"rebinding":             {request("GET", "/", here, "Host", "evil.example"), 403},
		"rebinding by a suffix": {request("GET", "/", here, "Host", "localhost.evil.example"), 403},
		"no host":               {request("GET", "/", here, "Host", ""), 403},
		"another site":          {request("POST", "/do/run", here, "Sec-Fetch-Site", "cross-site"), 403},
		"a sibling":             {request("POST", "/do/run", here, "Sec-Fetch-Site", "same-site"), 403},
		"another origin":        {request("POST", "/do/run", here, "Origin", "http://evil.example"), 403},
		"another port":          {request("POST", "/do/run", here, "Origin", "http://localhost:3000"), 403},
		"no origin at all":      {request("POST", "/do/run", here, "Origin", "null"), 403},
		"our page":              {request("POST", "/do/run", here, "Origin", "http://localhost:8620", "Sec-Fetch-Site", "same-origin"), 0},
		"a program":             {request("POST", "/api/v1/runs", here), 0},
		"a link elsewhere":      {request("GET", "/runs", here, "Sec-Fetch-Site", "cross-site"), 0},
		"a picture as a ping":   {request("GET", "/ping/backup", here, "Sec-Fetch-Site", "cross-site"), 403},
		"a ping":                {request("GET", "/ping/backup", here), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, _ := newScene(named).ask(tc.r); got.Status != tc.status {
				t.Errorf("status %d, want %d", got.Status, tc.status)
			}
		})
	}
}

func TestDoor_Tokens(t *testing.T) {
	t.Parallel()
	s := newScene(access.Terms{Anonymous: runner.RoleViewer})
	text := s.keep.add(t, runner.Token{Name: "ci", Role: runner.RoleOperator})
	old := s.keep.add(t, runner.Token{Name: "old", Role: runner.RoleAdmin, ExpiresAt: time.Now().Add(-time.Minute)})
	gone := s.keep.add(t, runner.Token{Name: "gone", Role: runner.RoleAdmin, RevokedAt: time.Now()})
	other, _, err := access.NewToken()
	if err != nil {
		t.Fatal(err)
	}
	in := seen{"ci", "operator", "203.0.113.7", access.ByToken, 0}
	out := seen{"anonymous", "viewer", "203.0.113.7", access.ByNothing, 401}
	byCookie := seen{"ci", "operator", "203.0.113.7", access.ByCookie, 0}
	logged := seen{"anonymous", "viewer", "203.0.113.7", access.ByNothing, 0}
	for name, tc := range map[string]struct {
		header, value string
		want          seen
	}{
		"right":         {"Authorization", bearer(text), in},
		"small letters": {"Authorization", "bearer " + text, in},
		"unknown":       {"Authorization", bearer(other.Reveal()), out},
		"a letter off":  {"Authorization", bearer(text[:len(text)-1]), out},
		"expired":       {"Authorization", bearer(old), out},
		"revoked":       {"Authorization", bearer(gone), out},
		"empty":         {"Authorization", "Bearer", out},
		"another way":   {"Authorization", "Digest " + text, out},
		"cookie":        {"Cookie", access.CookieName + "=" + text, byCookie},
		"old cookie":    {"Cookie", access.CookieName + "=" + gone, logged},
		"wrong cookie":  {"Cookie", access.CookieName + "=x", logged},
	} {
		got, header := s.ask(request("GET", "/", abroad, tc.header, tc.value))
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if (got.Status == 401) != (header.Get("WWW-Authenticate") == `Bearer realm="upkeep"`) {
			t.Errorf("%s: WWW-Authenticate %q", name, header.Values("WWW-Authenticate"))
		}
		if strings.Contains(tc.header, "Cookie") && got.Means == access.ByNothing && !strings.Contains(header.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("%s: the cookie stays: %q", name, header.Get("Set-Cookie"))
		}
	}
	if s.keep.used != 1 {
		t.Errorf("the use was recorded %d times, want once an hour", s.keep.used)
	}
	s.keep.fail = errors.New("the disk is on fire: " + text)
	got, _ := s.ask(request("GET", "/", abroad, "Authorization", bearer(text)))
	if got.Status != 503 {
		t.Errorf("without a ledger: status %d, want 503", got.Status)
	}
}

// TestDoor_TokenNowhere looks for tokens in what is told and logged.
func TestDoor_TokenNowhere(t *testing.T) {
	t.Parallel()
	s := newScene(access.Terms{})
	text := s.keep.add(t, runner.Token{Name: "ci", Role: runner.RoleOperator, RevokedAt: time.Now()})
	s.keep.fail = errors.New("no ledger")
	for range 2 {
		w := httptest.NewRecorder()
		_, problem := s.door.Admit(w, request("GET", "/", abroad, "Authorization", bearer(text)))
		if problem == nil {
			t.Fatal("a revoked token was let in")
		}
		for _, told := range []string{fmt.Sprintf("%+v", *problem), fmt.Sprint(w.Header()), s.log.String()} {
			if strings.Contains(told, text) || strings.Contains(told, text[4:20]) {
				t.Errorf("the token is told: %s", told)
			}
		}
		s.keep.fail = nil
	}
	if s.log.Len() == 0 {
		t.Error("nothing was logged, so the test shows nothing")
	}
}

func TestDoor_Still(t *testing.T) {
	t.Parallel()
	s := newScene(access.Terms{Users: map[string]access.User{"anna": {Hash: hashOf(t, "correct horse"), Role: runner.RoleAdmin}}})
	text := s.keep.add(t, runner.Token{Name: "ci", Role: runner.RoleOperator})
	pass := func(value string) access.Pass {
		t.Helper()
		p, problem := s.door.Admit(httptest.NewRecorder(), request("GET", "/", abroad, "Authorization", value))
		if problem != nil {
			t.Fatal(problem)
		}
		return p
	}
	token, user := pass(bearer(text)), pass(basic("anna", "correct horse"))
	if !token.Still(t.Context()) || !user.Still(t.Context()) {
		t.Error("passes end by themselves")
	}
	s.keep.fail = errors.New("no ledger just now")
	if !token.Still(t.Context()) {
		t.Error("a pass ends because nobody can tell")
	}
	s.keep.fail = nil
	s.keep.revoke(time.Now())
	s.terms = &access.Terms{}
	if token.Still(t.Context()) || user.Still(t.Context()) {
		t.Error("passes outlive what they rest on")
	}
}

func TestDoor_Passwords(t *testing.T) {
	t.Parallel()
	users := map[string]access.User{"anna": {Hash: hashOf(t, "correct horse"), Role: runner.RoleAdmin}, "ben": {Hash: hashOf(t, "battery"), Role: runner.RoleViewer}}
	s := newScene(access.Terms{Users: users})
	for name, tc := range map[string]struct {
		value  string
		who    string
		status int
	}{
		"right": {basic("anna", "correct horse"), "anna", 0}, "again": {basic("anna", "correct horse"), "anna", 0},
		"another": {basic("ben", "battery"), "ben", 0}, "wrong": {basic("anna", "battery"), "anonymous", 401},
		"nobody": {basic("eve", "battery"), "anonymous", 401}, "no name": {basic("", ""), "anonymous", 401}, "nonsense": {"Basic !", "anonymous", 401},
	} {
		got, header := s.ask(request("GET", "/", abroad, "Authorization", tc.value))
		if got.Name != tc.who || got.Status != tc.status {
			t.Errorf("%s: %+v, want %s and %d", name, got, tc.who, tc.status)
		}
		if tc.status == 401 && len(header.Values("WWW-Authenticate")) != 2 {
			t.Errorf("%s: WWW-Authenticate %q", name, header.Values("WWW-Authenticate"))
		}
	}
	// A browser shows no dialog of its own.
	_, header := s.ask(request("GET", "/", abroad, "Authorization", basic("eve", "x"), "Sec-Fetch-Mode", "navigate"))
	if len(header.Values("WWW-Authenticate")) != 1 {
		t.Errorf("a browser is asked by %q", header.Values("WWW-Authenticate"))
	}
	// What was right is compared anew when the configuration has another hash.
	s.terms = &access.Terms{Users: map[string]access.User{"anna": {Hash: hashOf(t, "new words"), Role: runner.RoleAdmin}}}
	if got, _ := s.ask(request("GET", "/", abroad, "Authorization", basic("anna", "correct horse"))); got.Status != 401 {
		t.Errorf("an old password still counts: %+v", got)
	}
}

// TestDoor_PasswordsAreRemembered shows that a password that was right is not
// compared again: when none is compared any more, it is still let in.
func TestDoor_PasswordsAreRemembered(t *testing.T) {
	t.Parallel()
	users := map[string]access.User{"anna": {Hash: hashOf(t, "correct horse"), Role: runner.RoleAdmin}, "ben": {Hash: hashOf(t, "battery"), Role: runner.RoleViewer}}
	s := newScene(access.Terms{Users: users})
	ask := func(name, password string) seen {
		got, _ := s.ask(request("GET", "/", abroad, "Authorization", basic(name, password)))
		return got
	}
	if got := ask("anna", "correct horse"); got.Name != "anna" {
		t.Fatalf("refused: %+v", got)
	}
	for range access.FailuresAtOnce + 1 {
		ask("eve", "wrong")
	}
	if got := ask("ben", "battery"); got.Status != http.StatusTooManyRequests {
		t.Fatalf("passwords are still compared: %+v", got)
	}
	if got := ask("anna", "correct horse"); got.Name != "anna" {
		t.Errorf("what was right is compared again: %+v", got)
	}
}

func TestDoor_Limits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(access.Terms{})
		right := s.keep.add(t, runner.Token{Name: "ci", Role: runner.RoleOperator})
		late := s.keep.add(t, runner.Token{Name: "late", Role: runner.RoleOperator})
		if got, _ := s.ask(request("GET", "/", abroad, "Authorization", bearer(right))); got.Name != "ci" {
			t.Fatalf("refused: %+v", got)
		}
		for i := range access.FailuresAtOnce {
			if got, _ := s.ask(request("GET", "/", abroad, "Authorization", "Bearer x")); got.Status != 401 {
				t.Fatalf("failure %d: status %d, want 401", i, got.Status)
			}
		}
		looked := s.keep.looked
		got, header := s.ask(request("GET", "/", abroad, "Authorization", bearer(late)))
		if got.Status != 429 || header.Get("Retry-After") != "6" || s.keep.looked != looked {
			t.Errorf("after too many: %+v, Retry-After %q, looked up %t", got, header.Get("Retry-After"), s.keep.looked != looked)
		}
		if got, _ := s.ask(request("GET", "/", abroad, "Authorization", bearer(right))); got.Name != "ci" {
			t.Errorf("one who is at work is locked out: %+v", got)
		}
		if got, _ := s.ask(request("GET", "/", here, "Authorization", bearer(late))); got.Name != "late" {
			t.Errorf("another address is locked out: %+v", got)
		}
		time.Sleep(6 * time.Second)
		if got, _ := s.ask(request("GET", "/", abroad, "Authorization", "Bearer x")); got.Status != 401 {
			t.Errorf("after the wait: %+v", got)
		}
		if got, _ := s.ask(request("GET", "/", abroad, "Authorization", "Bearer x")); got.Status != 429 {
			t.Errorf("only one more may fail: %+v", got)
		}
		time.Sleep(time.Hour)
		if got, _ := s.ask(request("GET", "/", abroad, "Authorization", bearer(late))); got.Name != "late" {
			t.Errorf("an hour later: %+v", got)
		}
	})
}

func TestLimits_Bounds(t *testing.T) {
	t.Parallel()
	l, now := access.NewLimits(), time.Unix(1_800_000_000, 0)
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range access.AllFailuresAtOnce {
		if wait := l.Wait(address(i), now); wait != 0 {
			t.Fatalf("address %d waits %s", i, wait)
		}
		l.Failed(address(i), now)
	}
	if l.Wait(address(1<<20), now) == 0 {
		t.Error("an address of its own for each guess is not bounded")
	}
	for i := range access.MostAddresses + 500 {
		l.Failed(address(i), now)
	}
	if l.Remembered() > access.MostAddresses {
		t.Errorf("%d addresses are remembered", l.Remembered())
	}
	// One subscriber has many addresses.
	s := newScene(access.Terms{})
	for i := range access.FailuresAtOnce {
		s.ask(request("GET", "/", fmt.Sprintf("[2001:db8::%x]:1", i+1), "Authorization", "Bearer x"))
	}
	if got, _ := s.ask(request("GET", "/", "[2001:db8::ffff]:1", "Authorization", "Bearer x")); got.Status != 429 {
		t.Errorf("the next address of the network: %+v", got)
	}
	if got, _ := s.ask(request("GET", "/", "[2001:db8:0:1::1]:1", "Authorization", "Bearer x")); got.Status != 401 {
		t.Errorf("another network: %+v", got)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := newScene(access.Terms{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	text := s.keep.add(t, runner.Token{Name: "anna", Role: runner.RoleAdmin})
	login := func(token, next string, headers ...string) (*httptest.ResponseRecorder, string, error) {
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(url.Values{"token": {token}, "next": {next}}.Encode()))
		r.RemoteAddr = here
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		at, err := access.Login(w, r.WithContext(access.Through(r.Context(), s.door)))
		return w, at, err
	}
	w, at, err := login(" "+text+"\n", "/runs?state=failed")
	if err != nil || at != "/runs?state=failed" {
		t.Fatalf("next %q, %v", at, err)
	}
	cookie := w.Result().Cookies()[0]
	if cookie.Value != text || !cookie.HttpOnly || cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" {
		t.Errorf("cookie %+v", cookie)
	}
	if w, _, _ := login(text, "/", "X-Forwarded-Proto", "https", "X-Forwarded-For", "203.0.113.7"); !w.Result().Cookies()[0].Secure {
		t.Error("the cookie of a connection with TLS goes over others too")
	}
	for i := range access.FailuresAtOnce + 1 {
		w, _, err := login("wrong", "/")
		problem, ok := errors.AsType[*api.Problem](err)
		want := 401
		if i == access.FailuresAtOnce {
			want = 429
		}
		if !ok || problem.Status != want || len(w.Result().Cookies()) > 0 || (want == 429) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("failure %d: %v, Retry-After %q", i, err, w.Header().Get("Retry-After"))
		}
	}
	if _, err := access.Login(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/login", nil)); err == nil {
		t.Error("somebody logged in without a door")
	}
	out := httptest.NewRecorder()
	access.Logout(out, httptest.NewRequest(http.MethodPost, "/logout", nil))
	if c := out.Result().Cookies()[0]; c.Value != "" || c.MaxAge >= 0 {
		t.Errorf("logging out leaves %+v", c)
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/runs": "/runs", "/runs/1?x=y": "/runs/1?x=y", "": "/", "runs": "/", "//evil.example": "/", "/\\evil.example": "/", "https://evil.example": "/",
		"/\nx": "/", "/login": "/", "/login?next=/login": "/", "/logout": "/", "javascript:alert(1)": "/", "/%0d%0aX: y": "/%0D%0AX:%20y",
	} {
		if got := access.Within(next); got != want {
			t.Errorf("Within(%q) = %q, want %q", next, got, want)
		}
	}
}

func FuzzWithin(f *testing.F) {
	for _, seed := range []string{"/", "//x", "/\\x", "/a?b#c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := access.Within(next)
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.HasPrefix(got, "/\\") {
			t.Errorf("Within(%q) = %q", next, got)
		}
	})
}

func TestNewToken(t *testing.T) {
	t.Parallel()
	text, digest, err := access.NewToken()
	if err != nil {
		t.Fatal(err)
	}
	again, whole := access.DigestOf(text.Reveal())
	if !whole || again != digest || !strings.HasPrefix(text.Reveal(), access.TokenPrefix) || fmt.Sprint(text) == text.Reveal() {
		t.Errorf("a token of %d characters, whole %t", len(text.Reveal()), whole)
	}
	raw := []byte(text.Reveal())
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] = 'a' + (changed[i]-'a'+1)%26
		if _, whole := access.DigestOf(string(changed)); whole && i != len(raw)-1 {
			t.Errorf("a mistake at %d is not noticed", i)
		}
	}
	for _, wrong := range []string{"", "upk_", text.Reveal() + "a", strings.ToUpper(text.Reveal()), " " + text.Reveal()} {
		if _, whole := access.DigestOf(wrong); whole {
			t.Errorf("%q counts as a token", wrong)
		}
	}
}
