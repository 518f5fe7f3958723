package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/socket"
)

// floodLines is how many lines the followed job writes.
const floodLines = 50_000

const floodConfig = `
timezone: UTC
ballast: off
workflows:
  talk:
    jobs:
      flood:
        kind: script
        with:
          run: "while [ ! -e go ]; do sleep 0.1; done; seq -f '%08.0f' 0 49999"
`

// audience are those who follow one output over the control socket.
type audience struct {
	client *http.Client
	path   string
}

func newAudience(t *testing.T, h *house) *audience {
	t.Helper()
	at := filepath.Join(h.dir, "var", "upkeep.sock")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, at) }}
	t.Cleanup(transport.CloseIdleConnections)
	return &audience{client: &http.Client{Transport: transport}}
}

// open begins to follow; last is the id of the last event that was heard.
func (a *audience) open(ctx context.Context, last string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://upkeep"+a.path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Last-Event-ID", last)
	response, err := a.client.Do(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it is answered %s", response.Status)
	}
	return response.Body, nil
}

// get returns what is answered at a path.
func (a *audience) get(t *testing.T, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://upkeep"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// listener checks that lines come each once and in order.
type listener struct {
	rest string
	line int
	last string
	over bool
}

// hear reads a stream until its end, or until so many lines were heard.
func (l *listener) hear(body io.Reader, most int) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			l.last = id
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e api.OutputEvent
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return err
		}
		switch e.Kind {
		case api.OutputText:
			if err := l.take(e.Text); err != nil || l.line >= most {
				return err
			}
		case api.OutputEnd:
			l.over = true
			return nil
		default:
			return fmt.Errorf("after line %d: %s", l.line, data)
		}
	}
	return lines.Err()
}

func (l *listener) take(text string) error {
	text = l.rest + text
	for {
		line, rest, whole := strings.Cut(text, "\n")
		if !whole {
			l.rest = text
			return nil
		}
		if want := fmt.Sprintf("%08d", l.line); line != want {
			return fmt.Errorf("line %d is %q", l.line, line)
		}
		l.line++
		text = rest
	}
}

// heapOf is how much heap a service says that it uses, in bytes.
var heapOf = regexp.MustCompile(`(?m)^go_memstats_heap_inuse_bytes (\S+)$`)

func (a *audience) heap(t *testing.T) float64 {
	t.Helper()
	found := heapOf.FindStringSubmatch(a.get(t, "/metrics"))
	if found == nil {
		t.Fatal("the service does not say how much heap it uses")
	}
	bytes, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestFollowers: of 200 who follow one running job, each gets every line once
// and in order, also over a new connection; those who do not read hold nothing
// up; and the memory of the service does not grow with how many there are.
func TestFollowers(t *testing.T) {
	t.Parallel()
	const fast, returning, stalled = 170, 20, 10
	h := newHouse(t, floodConfig)
	h.serve(t)
	out, _ := h.upkeep(t, 0, "run", "talk", "--detach")
	run := strings.TrimSpace(out)
	a := newAudience(t, h)
	eventually(t, "the job runs", func() (bool, string) {
		said := a.get(t, "/api/v1/runs/"+run+"/attempts")
		return strings.Contains(said, `"state":"running"`), said
	})
	a.path = "/api/v1/runs/" + run + "/attempts/flood/1/output/events"
	before := a.heap(t)
	ctx, leave := context.WithTimeout(t.Context(), 5*time.Minute)
	defer leave()
	var listening, ready sync.WaitGroup
	failed := make(chan error, fast+returning)
	for i := range fast + returning {
		ready.Add(1)
		listening.Go(func() {
			failed <- a.listen(ctx, i < returning, ready.Done)
		})
	}
	for range stalled {
		body, err := a.open(ctx, "") // and never read
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = body.Close() })
	}
	ready.Wait()
	h.write(t, "go", "")
	most := before
	eventually(t, "the run has ended", func() (bool, string) {
		most = max(most, a.heap(t))
		said := a.get(t, "/api/v1/runs/"+run)
		return strings.Contains(said, `"state":"succeeded"`), said
	})
	over := make(chan struct{})
	go func() { listening.Wait(); close(over) }()
	for open := true; open; {
		select {
		case <-over:
			open = false
		case <-time.After(100 * time.Millisecond): // another look at the memory
			most = max(most, a.heap(t))
		}
	}
	close(failed)
	for err := range failed {
		if err != nil {
			t.Error(err)
		}
	}
	t.Logf("heap in use: %.0f MiB before, at most %.0f MiB", before/(1<<20), most/(1<<20))
	if most-before > 96<<20 {
		t.Errorf("the heap grew by %.0f MiB", (most-before)/(1<<20))
	}
}

// listen follows the output to its end; with returns it comes back twice over a
// new connection.
func (a *audience) listen(ctx context.Context, returns bool, ready func()) error {
	ready = sync.OnceFunc(ready)
	defer ready()
	l := &listener{}
	stops := []int{floodLines + 1}
	if returns {
		stops = []int{floodLines / 3, floodLines / 2, floodLines + 1}
	}
	for _, most := range stops {
		body, err := a.open(ctx, l.last)
		if err != nil {
			return err
		}
		ready()
		err = l.hear(body, most)
		if closed := body.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	if !l.over || l.line != floodLines || l.rest != "" {
		return fmt.Errorf("%d lines came, the end %t, left %q", l.line, l.over, l.rest)
	}
	return nil
}
