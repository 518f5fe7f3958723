package web_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/access"
)

// tokens are tokens in memory, and the audit.
type tokens struct {
	mu      sync.Mutex
	by      map[runner.TokenDigest]runner.Token
	actions []runner.Action
}

func (k *tokens) AddToken(_ context.Context, t runner.Token, digest runner.TokenDigest) (runner.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, known := range k.by {
		if known.Name == t.Name && known.Valid(time.Now()) {
			return t, runner.ErrTokenExists
		}
	}
	t.ID = fmt.Sprint("id-", t.Name)
	k.by[digest] = t
	return t, nil
}

func (k *tokens) RevokeToken(_ context.Context, name, by string) (runner.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for d, t := range k.by {
		if t.Name == name && t.Valid(time.Now()) {
			t.RevokedAt, t.RevokedBy = time.Now(), by
			k.by[d] = t
			return t, nil
		}
	}
	return runner.Token{}, fmt.Errorf("revoke: %w", runner.ErrNotFound)
}

func (k *tokens) UseToken(context.Context, string, time.Time) error { return nil }

func (k *tokens) Tokens(context.Context) ([]runner.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []runner.Token
	for _, t := range k.by {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b runner.Token) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (k *tokens) TokenOf(_ context.Context, digest runner.TokenDigest) (runner.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.by[digest]
	if !ok {
		return t, fmt.Errorf("look: %w", runner.ErrNotFound)
	}
	return t, nil
}

func (k *tokens) Audit(_ context.Context, actions ...runner.Action) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range actions {
		a.ID = fmt.Sprintf("%05d", len(k.actions))
		k.actions = append(k.actions, a)
	}
	return nil
}

func (k *tokens) Actions(_ context.Context, f runner.ActionFilter) ([]runner.Action, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(k.actions), func(a runner.Action) bool {
		return f.Before != "" && a.ID >= f.Before || f.Who != "" && a.Who != f.Who || f.What != "" && a.What != f.What || f.End != "" && a.End != f.End
	})
	slices.Reverse(list)
	return list[:min(len(list), f.Limit)], nil
}

// add makes a token and returns its text.
func (k *tokens) add(t *testing.T, name string, role web.Role) string {
	t.Helper()
	text, digest, err := access.NewToken()
	if err == nil {
		_, err = k.AddToken(t.Context(), runner.Token{Name: name, Role: role}, digest)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text.Reveal()
}

// site is a server that listens over TCP.
type site struct {
	url, address string
	server       *web.Server
	tokens       *tokens
	log          *syncBuffer
	fake         *fake
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func open(t *testing.T, terms access.Terms, change ...func(*web.Options)) *site {
	t.Helper()
	s := &site{tokens: &tokens{by: map[runner.TokenDigest]runner.Token{}}, log: new(syncBuffer), fake: stocked()}
	close(s.fake.idle)
	o := s.fake.options()
	o.Tokens, o.Audit, o.Log = s.tokens, s.tokens, slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Door = access.New(access.Options{Terms: func() *access.Terms { return &terms }, Tokens: s.tokens, Log: o.Log})
	for _, c := range change {
		c(&o)
	}
	s.server = web.New(o)
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.url = "http://" + s.address
	served := make(chan error, 1)
	go func() {
		served <- s.server.ServeTCP(access.NewListener(l, func() *access.Certificate { return nil }))
	}()
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.server.Shutdown(end); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// answer is one without its body.
type answer struct {
	StatusCode int
	Header     http.Header
}

// ask sends a request with headers in pairs and returns the answer with its
// body.
func (s *site) ask(t *testing.T, method, target, body string, headers ...string) (answer, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil && !strings.Contains(target, "/events") {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header}, string(text)
}

// needs are the operations that need more than a viewer, as people would say
// it. Whatever else there is, a viewer may ask.
var needs = map[string]web.Role{
	"start-run": web.Operator, "cancel-run": web.Operator, "retry-run": web.Operator, "approve-run": web.Operator,
	"pause-workflow": web.Operator, "unpause-workflow": web.Operator, "ack-incident": web.Operator, "note-incident": web.Operator,
	"resolve-incident": web.Operator, "add-silence": web.Operator, "end-silence": web.Operator, "retry-notice": web.Operator, "drop-notice": web.Operator,
	"test-channel": web.Operator, "send-alert": web.Operator, "add-event": web.Operator, "add-samples": web.Operator,
	"drain": web.Admin, "undrain": web.Admin, "reload": web.Admin, "set-log-level": web.Admin, "reset-log-level": web.Admin,
	"list-tokens": web.Admin, "create-token": web.Admin, "revoke-token": web.Admin, "list-actions": web.Admin,
}

// TestRoles asks for every operation of the document with every role.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := open(t, access.Terms{})
	text := map[web.Role]string{}
	for _, role := range runner.Roles()[1:] {
		text[role] = s.tokens.add(t, "t-"+string(role), role)
	}
	_, document := s.ask(t, "GET", "/api/v1/openapi.json", "", "Authorization", "Bearer "+text[web.Viewer])
	var spec struct {
		Paths map[string]map[string]struct {
			ID   string   `json:"operationId"`
			Role web.Role `json:"x-role"`
		}
	}
	if err := json.Unmarshal([]byte(document), &spec); err != nil {
		t.Fatal(err)
	}
	asked, more := 0, 0
	for path, methods := range spec.Paths {
		for method, op := range methods {
			method = strings.ToUpper(method)
			want := needs[op.ID]
			switch {
			case want != "":
				more++
			case method == http.MethodGet:
				want = web.Viewer
			default:
				// What is new acts, so it must be decided about: see roleOf.
				if want = op.Role; !want.Allows(web.Operator) {
					t.Errorf("%s acts, and needs only %q", op.ID, want)
				}
			}
			if op.Role != want {
				t.Errorf("%s says that it needs %q, want %q", op.ID, op.Role, want)
			}
			// Nothing is there by these names: what is let through is not found or
			// invalid, and no stream begins.
			target := strings.NewReplacer("{", "", "}", "").Replace(path)
			for _, role := range runner.Roles() {
				if role.Allows(want) && (op.ID == "drain" || strings.Contains(op.ID, "follow")) {
					continue
				}
				header := []string{}
				if role != web.None {
					header = []string{"Authorization", "Bearer " + text[role]}
				}
				response, body := s.ask(t, method, target, "", header...)
				asked++
				refused := response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden
				if refused == role.Allows(want) || refused && (role == web.None) != (response.StatusCode == http.StatusUnauthorized) {
					t.Errorf("%s %s as %s: %d %s", method, path, role, response.StatusCode, body)
				}
				if refused && response.Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s as %s is refused in %s", op.ID, role, response.Header.Get("Content-Type"))
				}
			}
		}
	}
	if more != len(needs) || asked < 4*len(needs) {
		t.Errorf("%d of %d operations that need more were found, %d requests made", more, len(needs), asked)
	}
}

func TestTCP_Public(t *testing.T) {
	t.Parallel()
	s := open(t, access.Terms{})
	for target, want := range map[string]int{"/livez": 200, "/readyz": 200, "/readyz?verbose": 200, "/health": 200, "/metrics": 401, "/api/v1/status": 401, "/nowhere": 401, "/ping/x": 401} {
		response, body := s.ask(t, "GET", target, "")
		if response.StatusCode != want && target != "/health" {
			t.Errorf("%s: %d %s, want %d", target, response.StatusCode, body, want)
		}
		if strings.Contains(body, "ledger") {
			t.Errorf("%s tells strangers: %s", target, body)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; object-src 'none'",
			"X-Content-Type-Options":  "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Strict-Transport-Security": "",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
	}
	// A person is sent to the login, a program is told.
	response, _ := s.ask(t, "GET", "/runs?state=failed", "", "Accept", "text/html,*/*")
	if at := response.Header.Get("Location"); response.StatusCode != http.StatusSeeOther || at != "/login?next=%2Fruns%3Fstate%3Dfailed" {
		t.Errorf("a person is answered %d, %q", response.StatusCode, at)
	}
	if response, _ := s.ask(t, "GET", "/api/v1/runs", "", "Accept", "text/html"); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("the API answers a person %d", response.StatusCode)
	}
}

// TestTCP_Revoked follows a run with a token that is revoked meanwhile.
func TestTCP_Revoked(t *testing.T) {
	t.Parallel()
	s := open(t, access.Terms{})
	text := s.tokens.add(t, "wall", web.Viewer)
	var open string
	for id, run := range s.fake.runs {
		if !run.State.Final() {
			open = string(id)
		}
	}
	if open == "" {
		t.Fatal("no run is under way")
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/api/v1/runs/"+open+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+text)
	response, err := http.DefaultClient.Do(r)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("follow: %v, %v", response, err)
	}
	defer func() { _ = response.Body.Close() }()
	reader := bufio.NewReader(response.Body)
	if line, err := reader.ReadString('\n'); err != nil || !strings.HasPrefix(line, "event: ") {
		t.Fatalf("the stream begins with %q, %v", line, err)
	}
	if _, err := s.tokens.RevokeToken(t.Context(), "wall", "anna"); err != nil {
		t.Fatal(err)
	}
	if again, _ := s.ask(t, "GET", "/api/v1/status", "", "Authorization", "Bearer "+text); again.StatusCode != http.StatusUnauthorized {
		t.Errorf("a revoked token is answered %d", again.StatusCode)
	}
	if _, err := io.Copy(io.Discard, reader); err != nil {
		t.Logf("the stream ended: %v", err) // also by a broken connection
	}
}

// TestTCP_Audit looks what is in the audit after what, and what is not.
func TestTCP_Audit(t *testing.T) {
	t.Parallel()
	s := open(t, access.Terms{Anonymous: web.Viewer})
	text := s.tokens.add(t, "ops", web.Operator)
	admin := s.tokens.add(t, "root", web.Admin)
	by := []string{"Authorization", "Bearer " + text, "Upkeep-By", "cli", "X-Request-Id", "r1"}
	s.ask(t, "GET", "/api/v1/runs", "", by...)
	s.ask(t, "POST", "/api/v1/runs", `{"workflow":"daily"}`, by...)
	s.ask(t, "POST", "/api/v1/runs/nothing/cancel", "", by...)
	s.ask(t, "POST", "/api/v1/samples", `{"samples":[{"series":"x","value":1}]}`, by...)
	for range 5 {
		s.ask(t, "POST", "/api/v1/drain", "", by...)
		s.ask(t, "GET", "/api/v1/runs", "", "Authorization", "Bearer wrong")
		s.ask(t, "POST", "/api/v1/reload", "")
	}
	response, body := s.ask(t, "POST", "/api/v1/tokens", `{"name":"ci","role":"viewer"}`, "Authorization", "Bearer "+admin)
	if response.StatusCode != http.StatusCreated || !strings.Contains(body, `"token":"upk_`) {
		t.Fatalf("make a token: %d %s", response.StatusCode, body)
	}
	var got []string
	_, body = s.ask(t, "GET", "/api/v1/audit?limit=100", "", "Authorization", "Bearer "+admin)
	var page struct {
		Actions []struct {
			Who, Role, Means, From, Via, What, Subject, End string
			Status, Count                                   int
		}
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	for _, a := range slices.Backward(page.Actions) {
		if a.From != "127.0.0.1" {
			t.Errorf("%s from %q", a.What, a.From)
		}
		subject, _, _ := strings.Cut(a.Subject, " ")
		got = append(got, fmt.Sprintf("%s/%s/%s/%s %s %s %s %d x%d", a.Who, a.Role, a.Means, a.Via, a.What, subject, a.End, a.Status, a.Count))
	}
	want := []string{
		"ops/operator/token/cli start-run daily done 201 x1",
		"ops/operator/token/cli cancel-run nothing failed 404 x1",
		"ops/operator/token/cli drain  refused 403 x1",
		"/viewer/anonymous/api sign-in  refused 401 x1",
		"/viewer/anonymous/api reload  refused 401 x1",
		"root/admin/token/api create-token ci done 201 x1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the audit (-want +got):\n%s", diff)
	}
	for _, secret := range []string{text, admin} {
		if strings.Contains(s.log.String(), secret) || strings.Contains(fmt.Sprint(s.tokens.actions), secret) {
			t.Error("a token is in the log or in the audit")
		}
	}
	if !strings.Contains(s.log.String(), "ops@127.0.0.1 (cli)") {
		t.Error("the log does not say who asked, so the test shows nothing")
	}
	// What was counted is written at the end.
	if err := s.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	counted := map[string]int{}
	for _, a := range s.tokens.actions {
		counted[a.What] += a.Count
	}
	for _, what := range []string{"drain", "sign-in", "reload"} {
		if counted[what] != 5 {
			t.Errorf("%s was refused 5 times, and %d stand in the audit", what, counted[what])
		}
	}
}

// TestTCP_Bounds shows what is not read, and not waited for.
func TestTCP_Bounds(t *testing.T) {
	t.Parallel()
	s := open(t, access.Terms{Anonymous: web.Admin})
	t.Run("headers", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, s.address)
		go func() {
			_, _ = fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ")
			for range 200 {
				if _, err := conn.Write(bytes.Repeat([]byte("x"), 4<<10)); err != nil {
					return
				}
			}
		}()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		if !strings.Contains(line, "431") {
			t.Errorf("headers without end are answered %q", line)
		}
	})
	t.Run("body", func(t *testing.T) {
		t.Parallel()
		response, _ := s.ask(t, "POST", "/api/v1/runs", `{"workflow":"`+strings.Repeat("x", 1<<20)+`"}`)
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a body without end is answered %d", response.StatusCode)
		}
	})
	t.Run("slowly", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, s.address)
		if _, err := fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "); err != nil {
			t.Fatal(err)
		}
		// It ends by itself, or the deadline of dial says that it did not.
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("a client that never comes to an end is waited for: %v", err)
		}
	})
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(time.Minute))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
