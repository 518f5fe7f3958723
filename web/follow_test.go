package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/client"
	"github.com/ghosteam/upkeep/web/socket"
)

// say puts an event into words.
func say(e runner.Event) string {
	switch e := e.(type) {
	case runner.RunStarted:
		words := fmt.Sprintf("run started %v", e.Jobs)
		for _, a := range e.Done {
			words += " done " + a.Job
		}
		return words
	case runner.AttemptStarted:
		return fmt.Sprintf("%s/%d started %s", e.Attempt.Job, e.Attempt.Number, e.Attempt.State)
	case runner.AttemptProgress:
		return fmt.Sprintf("%s/%d at %d", e.Key.Job, e.Key.Number, e.Done)
	case runner.AttemptWaiting:
		return fmt.Sprintf("%s/%d waits", e.Key.Job, e.Key.Number)
	case runner.AttemptEnded:
		return fmt.Sprintf("%s/%d ended %s", e.Attempt.Job, e.Attempt.Number, e.Attempt.State)
	case runner.RunNoted:
		return "noted " + e.Text
	case runner.RunEnded:
		return "run ended " + string(e.Run.State)
	}
	return fmt.Sprintf("%T", e)
}

// listener follows a run and remembers what it hears.
type listener struct {
	mu    sync.Mutex
	heard []string
	done  chan error
}

func (l *listener) words() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.heard...)
}

func (l *listener) has(word string) func() bool {
	return func() bool { return strings.Contains(strings.Join(l.words(), "\n"), word) }
}

func listen(ctx context.Context, c *client.Client) *listener {
	l := &listener{done: make(chan error, 1)}
	go func() {
		l.done <- c.Follow(ctx, followedID, func(e runner.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.heard = append(l.heard, say(e))
		})
	}()
	return l
}

// engine is what an executor does: it records, then it tells.
type engine struct {
	d        *daemon
	ctx      context.Context //nolint:containedctx // a test's own
	attempts []runner.Attempt
}

func (e *engine) begin(job string) {
	a := attempt(job, 1, runner.Running)
	e.attempts = append(e.attempts, a)
	e.d.put(followed(runner.Running), append([]runner.Attempt{}, e.attempts...)...)
	e.d.hub.Observe(e.ctx, runner.AttemptStarted{Attempt: a})
}

func (e *engine) end(job string, state runner.State) {
	for i, a := range e.attempts {
		if a.Job == job {
			e.attempts[i] = attempt(job, 1, state)
		}
	}
	e.d.put(followed(runner.Running), append([]runner.Attempt{}, e.attempts...)...)
	e.d.hub.Observe(e.ctx, runner.AttemptEnded{Attempt: attempt(job, 1, state)})
}

func (e *engine) start(names ...string) {
	e.d.put(followed(runner.Running), append([]runner.Attempt{}, e.attempts...)...)
	var list []runner.JobName
	for _, n := range names {
		list = append(list, runner.JobName{Name: n, Kind: "script"})
	}
	e.d.hub.Observe(e.ctx, runner.RunStarted{Run: followed(runner.Running), Jobs: list})
}

func (e *engine) finish(state runner.State) {
	e.d.put(followed(state), append([]runner.Attempt{}, e.attempts...)...)
	e.d.hub.Observe(e.ctx, runner.RunEnded{Run: followed(state)})
}

func alive(f *fake) *fake {
	f.nodes = stocked().nodes
	return f
}

func expect(t *testing.T, l *listener, want ...string) {
	t.Helper()
	select {
	case err := <-l.done:
		if err != nil {
			t.Errorf("follow: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the stream does not end; heard %q", l.words())
	}
	if diff := cmp.Diff(want, l.words()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFollow hears the same, whenever one begins to listen.
func TestFollow(t *testing.T) {
	t.Parallel()
	d := start(t, alive(newFake()))
	d.put(followed(runner.Queued))
	e := &engine{d: d, ctx: t.Context()}
	early := listen(t.Context(), d.client)
	waitFor(t, "the listener", func() bool { return d.hub.Listening(followedID) == 1 })
	e.start("a", "b")
	e.begin("a")
	d.hub.Observe(t.Context(), progress("a", 7))
	waitFor(t, "progress", early.has("a/1 at 7"))
	late := listen(t.Context(), d.client)
	waitFor(t, "progress", late.has("a/1 at 7"))
	e.end("a", runner.Warned)
	waitFor(t, "the end of a", early.has("a/1 ended"))
	e.begin("b")
	d.hub.Observe(t.Context(), runner.RunNoted{Run: followedID, Text: "careful"})
	e.end("b", runner.Failed)
	e.finish(runner.Failed)
	all := []string{
		"run started [{a script} {b script}]", "a/1 started running", "a/1 at 7", "a/1 ended warned", "b/1 started running",
		"noted careful", "b/1 ended failed", "run ended failed",
	}
	expect(t, early, all...)
	expect(t, late, all...)
	after := listen(t.Context(), d.client)
	expect(t, after, "run started [{a script} {b script}]", "a/1 started running", "a/1 ended warned", "b/1 started running", "b/1 ended failed", "run ended failed")
	waitFor(t, "the streams to end", func() bool { return d.hub.Listening(followedID) == 0 })
}

// TestFollow_Elsewhere follows a run of which the hub hears nothing.
func TestFollow_Elsewhere(t *testing.T) {
	t.Parallel()
	d := start(t, alive(newFake()))
	d.put(followed(runner.Queued))
	l := listen(t.Context(), d.client)
	waitFor(t, "the listener", func() bool { return d.hub.Listening(followedID) == 1 })
	d.put(followed(runner.Running), attempt("a", 1, runner.Running))
	waitFor(t, "a", l.has("a/1 started"))
	skipped := attempt("b", 0, runner.Skipped)
	d.put(followed(runner.Succeeded), attempt("a", 1, runner.Succeeded), skipped)
	expect(t, l, "run started [{a script}]", "a/1 started running", "a/1 ended succeeded", "b/0 ended skipped", "run ended succeeded")
}

// TestFollow_WaitsElsewhere: a run on another node has its jobs before the first
// of them has its lock.
func TestFollow_WaitsElsewhere(t *testing.T) {
	t.Parallel()
	d := start(t, alive(newFake()))
	run := followed(runner.Running)
	run.Spec.Workflow, run.Jobs = "daily", []string{"prune"}
	d.put(run)
	l := listen(t.Context(), d.client)
	waitFor(t, "the beginning", l.has("run started"))
	run.State = runner.Succeeded
	d.put(run, attempt("prune", 1, runner.Succeeded))
	expect(t, l, "run started [{prune prune}]", "prune/1 started running", "prune/1 ended succeeded", "run ended succeeded")
}

// TestFollow_Retried tells what earlier claims finished as done, and nothing
// of what a retry took the place of.
func TestFollow_Retried(t *testing.T) {
	t.Parallel()
	d := start(t, alive(newFake()))
	run := followed(runner.Succeeded)
	run.Epoch = 3
	done, failed, again := attempt("a", 1, runner.Succeeded), attempt("b", 1, runner.Failed), attempt("b", 2, runner.Succeeded)
	failed.Superseded = true
	again.Epoch = 3
	d.put(run, done, failed, again)
	expect(t, listen(t.Context(), d.client), "run started [{a script} {b script}] done a", "b/2 started running", "b/2 ended succeeded", "run ended succeeded")
}

// TestFollow_Slow does not read for a while and still hears the end.
func TestFollow_Slow(t *testing.T) {
	t.Parallel()
	d := start(t, alive(newFake()))
	e := &engine{d: d, ctx: t.Context()}
	e.start("a")
	gate := make(chan struct{})
	var mu sync.Mutex
	var heard []string
	done := make(chan error, 1)
	go func() {
		done <- d.client.Follow(t.Context(), followedID, func(event runner.Event) {
			<-gate
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, say(event))
		})
	}()
	waitFor(t, "the listener", func() bool { return d.hub.Listening(followedID) == 1 })
	const many = 20_000 // more than the buffers of the socket and the hub hold
	began := time.Now()
	for i := range many {
		d.hub.Observe(t.Context(), runner.RunNoted{Run: followedID, Text: strings.Repeat("x", 500) + fmt.Sprint(i)})
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the engine was held up for %s", took)
	}
	e.begin("a")
	e.end("a", runner.Succeeded)
	e.finish(runner.Succeeded)
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(heard) > many/2 {
		t.Errorf("heard %d events: nothing was dropped", len(heard))
	}
	tail := heard[len(heard)-3:]
	if diff := cmp.Diff([]string{"a/1 started running", "a/1 ended succeeded", "run ended succeeded"}, tail); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFollow_Restart follows a run across a restart of the daemon.
func TestFollow_Restart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "api.sock")
	f := alive(newFake())
	d := startAt(t, f, path)
	e := &engine{d: d, ctx: t.Context()}
	e.start("a")
	e.begin("a")
	patient := client.New(client.Options{Socket: path, Patience: time.Minute})
	defer patient.Close()
	l := listen(t.Context(), patient)
	waitFor(t, "a", l.has("a/1 started"))
	d.stop()
	second := startAt(t, f, path)
	waitFor(t, "the listener to come back", func() bool { return second.hub.Listening(followedID) == 1 })
	again := &engine{d: second, ctx: t.Context(), attempts: e.attempts}
	again.end("a", runner.Succeeded)
	again.finish(runner.Succeeded)
	expect(t, l, "run started [{a script}]", "a/1 started running", "a/1 ended succeeded", "run ended succeeded")
}

// TestFollow_Gone tells that the daemon does not come back.
func TestFollow_Gone(t *testing.T) {
	t.Parallel()
	d := start(t, alive(newFake()))
	(&engine{d: d, ctx: t.Context()}).start("a")
	l := listen(t.Context(), d.client)
	waitFor(t, "the beginning", l.has("run started"))
	d.stop()
	if err := <-l.done; !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("got %v", err)
	}
}

func TestFollow_Refused(t *testing.T) {
	t.Parallel()
	d := start(t, newFake())
	if err := d.client.Follow(t.Context(), "nothing", func(runner.Event) {}); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	d.put(followed(runner.Running))
	why := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, why)
	defer cancel()
	if err := d.client.Follow(ctx, followedID, func(runner.Event) {}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	waitFor(t, "the stream to end", func() bool { return d.hub.Listening(followedID) == 0 })
}

// TestFollow_Many follows one run many times at once.
func TestFollow_Many(t *testing.T) {
	t.Parallel()
	d := start(t, alive(newFake()))
	e := &engine{d: d, ctx: t.Context()}
	e.start("a")
	const many = 200
	var listeners []*listener
	for range many {
		listeners = append(listeners, listen(t.Context(), d.client))
	}
	waitFor(t, "the listeners", func() bool { return d.hub.Listening(followedID) == many })
	e.begin("a")
	e.end("a", runner.Succeeded)
	e.finish(runner.Succeeded)
	for _, l := range listeners {
		expect(t, l, "run started [{a script}]", "a/1 started running", "a/1 ended succeeded", "run ended succeeded")
	}
}

// TestStream shows what goes over the wire.
func TestStream(t *testing.T) {
	t.Parallel()
	d := start(t, alive(newFake()))
	run := followed(runner.Running)
	run.Message = "first\n\nevent: forged"
	d.put(run)
	transport := &http.Transport{DialContext: dialer(d.path)}
	defer transport.CloseIdleConnections()
	r := newRequest(t, http.MethodGet, "http://upkeep"+web.Prefix+"/runs/"+string(followedID)+"/events", "")
	r.RequestURI = ""
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	lines := bufio.NewScanner(response.Body)
	next := func() string {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the stream ended: %v", lines.Err())
		}
		return lines.Text()
	}
	if name, data := next(), next(); name != "event: snapshot" || !strings.HasPrefix(data, `data: {"kind":"snapshot","run":{"id":"019ab000`) || !strings.Contains(data, `first\n\nevent: forged`) {
		t.Errorf("%s\n%s", name, data)
	}
	until := func(line string) {
		t.Helper()
		for got := next(); got != line; got = next() {
			continue
		}
	}
	until(": alive")
	go d.stop()
	until("event: shutdown")
	rest := ""
	for lines.Scan() {
		rest += lines.Text() + "\n"
	}
	if rest != "data: {\"kind\":\"shutdown\"}\n\n" || lines.Err() != nil {
		t.Errorf("%q, %v", rest, lines.Err())
	}
}

// TestFollow_ReaderGone shows that a stream ends with its reader.
func TestFollow_ReaderGone(t *testing.T) {
	t.Parallel()
	d := start(t, alive(newFake()))
	d.put(followed(runner.Running))
	conn, err := socket.Dial(t.Context(), d.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET "+web.Prefix+"/runs/"+string(followedID)+"/events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the stream", func() bool { return d.hub.Listening(followedID) == 1 })
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the stream to end", func() bool { return d.hub.Listening(followedID) == 0 })
}
