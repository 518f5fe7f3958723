package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/access"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
)

// custody does what a test says, under the name of the work.
type custody struct {
	mu    sync.Mutex
	asked []string
	work  web.Work
	busy  error
}

// idle is a work that does nothing.
func idle(context.Context, func(api.WorkEvent)) (api.Worked, error) {
	return api.Worked{Artifacts: []api.Backup{}, Drills: []api.Drill{}}, nil
}

func (c *custody) begin(verb, by string) (web.Work, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy != nil {
		return nil, c.busy
	}
	c.asked = append(c.asked, verb+" by "+by)
	return c.work, nil
}

func (c *custody) Verify(_ context.Context, by string, r api.VerifyRequest) (web.Work, error) {
	return c.begin("verify "+r.Artifact+" "+strings.Join(r.Identities, ","), by)
}

func (c *custody) Drill(_ context.Context, by string, r api.DrillRequest) (web.Work, error) {
	return c.begin("drill "+r.Artifact, by)
}

func (c *custody) Restore(_ context.Context, by string, r api.RestoreRequest) (web.Work, error) {
	return c.begin("restore "+r.Artifact+" to "+r.To, by)
}

func (c *custody) Prune(_ context.Context, by string, r api.PruneRequest) (web.Work, error) {
	return c.begin("prune "+r.Workflow, by)
}

// newKeeper is a server over TCP that works on artifacts, and an admin who asks it.
func newKeeper(t *testing.T, c *custody) (*site, *client.Client) {
	t.Helper()
	s := open(t, access.Terms{}, func(o *web.Options) { o.Custody = c })
	return s, client.New(client.Options{URL: s.url, Transport: carrier{s.tokens.add(t, "admin", web.Admin)}, By: "test", Within: time.Minute})
}

// carrier shows a token.
type carrier struct{ token string }

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+c.token)
	return http.DefaultTransport.RoundTrip(r)
}

// What a work tells arrives in its order, then what came of it, beside what went
// wrong; the audit says how it ended.
func TestWork(t *testing.T) {
	t.Parallel()
	c := &custody{work: func(_ context.Context, tell func(api.WorkEvent)) (api.Worked, error) {
		tell(api.WorkEvent{Kind: api.WorkSaid, Text: "a line\nand another"})
		tell(api.WorkEvent{Kind: api.WorkProgress, Text: "verify x", Bytes: 3, Total: 9})
		return api.Worked{Artifacts: []api.Backup{}, Drills: []api.Drill{}, Empty: "none", Number: 2}, nil
	}}
	s, asks := newKeeper(t, c)
	var told []api.WorkEvent
	tell := func(e api.WorkEvent) { told = append(told, e) }
	got, err := asks.VerifyArtifacts(t.Context(), api.VerifyRequest{Artifact: "daily.app", Newest: true, Identities: []string{"planted-identity"}}, tell)
	if err != nil || got.Number != 2 || got.Empty != "none" {
		t.Fatalf("%+v, %v", got, err)
	}
	want := []api.WorkEvent{{Kind: api.WorkSaid, Text: "a line\nand another"}, {Kind: api.WorkProgress, Text: "verify x", Bytes: 3, Total: 9}}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	c.work = func(context.Context, func(api.WorkEvent)) (api.Worked, error) {
		return api.Worked{Number: 1}, jobs.WithHint(errors.New("it is damaged"), "make a new one")
	}
	got, err = asks.RestoreArtifact(t.Context(), api.RestoreRequest{Artifact: "daily.app", To: "/tmp/x"}, tell)
	problem, _ := errors.AsType[*api.Problem](err)
	if problem == nil || problem.Code != api.CodeFailed || problem.Detail != "it is damaged" || jobs.HintOf(err) != "make a new one" || got.Number != 1 {
		t.Errorf("%+v, %#v", got, err)
	}
	c.work = func(context.Context, func(api.WorkEvent)) (api.Worked, error) {
		return api.Worked{}, &jobs.RefusedError{Rail: "target", Why: "it exists"}
	}
	if _, err = asks.DrillArtifacts(t.Context(), api.DrillRequest{Artifact: "daily.app", DryRun: true}, tell); !errors.As(err, new(*jobs.RefusedError)) {
		t.Errorf("a refusal arrives as %v", err)
	}
	c.busy = api.NewProblem(api.CodeSkipped, "try again", "another work is under way")
	if _, err = asks.PruneArtifacts(t.Context(), api.PruneRequest{Workflow: "daily"}, tell); err == nil || !strings.Contains(err.Error(), "another work") {
		t.Errorf("%v", err)
	}
	if len(c.asked) != 3 || !strings.HasPrefix(c.asked[0], "verify daily.app planted-identity by admin@127.0.0.1 (test)") {
		t.Errorf("asked: %q", c.asked)
	}
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	var audit []string
	for _, a := range s.tokens.actions {
		audit = append(audit, a.What+" "+a.Subject+": "+string(a.End))
	}
	if diff := cmp.Diff([]string{
		"verify-artifacts daily.app: done", "restore-artifact daily.app /tmp/x: failed", "drill-artifacts daily.app (dry run): failed", "prune-artifacts daily (dry run): failed",
	}, audit); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

// Who goes away stops the work, and so does the end of the server.
func TestWork_Stopped(t *testing.T) {
	t.Parallel()
	begun, causes := make(chan struct{}, 2), make(chan error, 2)
	c := &custody{work: func(ctx context.Context, _ func(api.WorkEvent)) (api.Worked, error) {
		begun <- struct{}{}
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return api.Worked{}, context.Cause(ctx)
	}}
	s, asks := newKeeper(t, c)
	ctx, leave := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	go func() { <-begun; leave(gone) }()
	if _, err := asks.PruneArtifacts(ctx, api.PruneRequest{Apply: true}, func(api.WorkEvent) {}); !errors.Is(err, gone) {
		t.Errorf("who left hears %v", err)
	}
	if cause := <-causes; cause == nil {
		t.Error("the work went on")
	}
	ended := make(chan error, 1)
	go func() {
		_, err := asks.PruneArtifacts(t.Context(), api.PruneRequest{Apply: true}, func(api.WorkEvent) {})
		ended <- err
	}()
	<-begun
	if err := s.server.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if cause := <-causes; !errors.Is(cause, runner.ErrShutdown) {
		t.Errorf("the work was ended by %v", cause)
	}
	if err := <-ended; !errors.Is(err, runner.ErrUnavailable) {
		t.Errorf("who waits hears %v", err)
	}
}

// Each work needs its role, and a process that works on nothing says so.
func TestWork_Roles(t *testing.T) {
	t.Parallel()
	with, without := newFake().options(), newFake().options()
	without.Custody = nil
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", specification(t, web.New(with).Handler())); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("openapi.json#/components/schemas/WorkEvent")
	if err != nil {
		t.Fatal(err)
	}
	for verb, least := range map[string]web.Role{"verify": web.Operator, "drill": web.Admin, "restore": web.Admin, "prune": web.Admin} {
		for _, role := range []web.Role{web.Viewer, web.Operator, web.Admin} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, web.Prefix+"/artifacts/"+verb, strings.NewReader(`{"to":"/x"}`))
			if verb != "restore" {
				r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, web.Prefix+"/artifacts/"+verb, strings.NewReader(`{}`))
			}
			r.Header.Set("Content-Type", "application/json")
			r = r.WithContext(web.Identify(r.Context(), web.Identity{Name: "eve", Role: role}))
			want := http.StatusOK
			if !role.Allows(least) {
				want = http.StatusForbidden
			}
			answer := httptest.NewRecorder()
			web.New(with).Handler().ServeHTTP(answer, r)
			if answer.Code != want {
				t.Errorf("%s as %s: %d %s", verb, role, answer.Code, answer.Body)
			}
			if want != http.StatusOK {
				continue
			}
			_, done, found := strings.Cut(answer.Body.String(), "event: done\ndata: ")
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(done))
			if err == nil {
				err = schema.Validate(value)
			}
			if !found || err != nil {
				t.Errorf("%s: %v in %s", verb, err, answer.Body)
			}
		}
	}
	if status, _, body := ask(t, web.New(without).Handler(), http.MethodPost, "/api/v1/artifacts/verify", `{"newest":true}`); status != http.StatusServiceUnavailable || !strings.Contains(body, "no service") {
		t.Errorf("%d %s", status, body)
	}
}

// A page that asks the API within the process counts once, by its own route.
func TestMeter_Pages(t *testing.T) {
	t.Parallel()
	f, m := stocked(), &meter{}
	o := f.options()
	o.Meter = m
	handler := web.New(o).Handler()
	for _, target := range []string{"/", "/runs", "/runs/019ab004"} {
		r := newRequest(t, http.MethodGet, target, "")
		r.Header.Set("Accept", "text/html")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r.WithContext(web.Identify(r.Context(), web.Identity{Name: "ana", Role: web.Viewer})))
		if answer.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", target, answer.Code, answer.Body)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var routes []string
	for _, one := range m.ended {
		routes = append(routes, one.Route)
	}
	slices.Sort(routes)
	if diff := cmp.Diff([]string{"/runs", "/runs/{id}", "/{$}"}, routes); diff != "" || m.inFlight != 0 {
		t.Errorf("%d in flight; counted (-want +got):\n%s", m.inFlight, diff)
	}
}
