package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// written is what the stream of an output told, put together.
type written struct {
	text  strings.Builder
	cut   int64
	state string
	next  int64
}

// hear reads a stream of an output to its end.
func hear(t interface{ Fatalf(string, ...any) }, body string) written {
	var w written
	for block := range strings.SplitSeq(body, "\n\n") {
		var e api.OutputEvent
		for line := range strings.SplitSeq(block, "\n") {
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				if err := json.Unmarshal([]byte(data), &e); err != nil {
					t.Fatalf("%v: %s", err, data)
				}
			}
		}
		switch e.Kind {
		case api.OutputText:
			if e.From != w.next && w.text.Len() > 0 {
				t.Fatalf("a gap before %d, after %d", e.From, w.next)
			}
			w.text.WriteString(e.Text)
		case api.OutputCut:
			w.cut += e.Next - e.From
		case api.OutputEnd:
			w.state = e.State
		default:
			continue
		}
		w.next = e.Next
	}
	return w
}

// TestFollowOutput_Past follows attempts that have ended.
func TestFollowOutput_Past(t *testing.T) {
	t.Parallel()
	f := newFake()
	const id = runner.RunID("019ab000-0000-7000-8000-000000000000")
	f.put(runner.Run{ID: id, State: runner.Failed}, runner.Attempt{Job: "a", Number: 1, State: runner.Failed}, runner.Attempt{Job: "quiet", Number: 1, State: runner.Succeeded},
		runner.Attempt{Job: "split", Number: 1, State: runner.Succeeded})
	f.outputs[runner.AttemptKey{Run: id, Job: "a", Number: 1}] = runner.Output{Head: []byte("héad"), Tail: []byte("t\xffil"), Cut: 100}
	f.outputs[runner.AttemptKey{Run: id, Job: "split", Number: 1}] = runner.Output{Head: []byte("h\xc3"), Tail: []byte("\xa9ad")}
	f.outputs[runner.AttemptKey{Run: id, Job: "quiet", Number: 1}] = runner.Output{}
	handler := web.New(f.options()).Handler()
	tests := map[string]struct{ job, query, text, state string }{
		"whole":   {"a", "", "héadt\ufffdil", "failed"},
		"part":    {"a", "?from=3", "adt\ufffdil", "failed"},
		"behind":  {"a", "?from=1000", "", "failed"},
		"in cut":  {"a", "?from=50", "t\ufffdil", "failed"},
		"nothing": {"quiet", "", "", "succeeded"},
		"split":   {"split", "", "héad", "succeeded"},
	}
	for name, test := range tests {
		status, header, body := ask(t, handler, http.MethodGet, "/api/v1/runs/"+string(id)+"/attempts/"+test.job+"/1/output/events"+test.query, "")
		got := hear(t, body)
		if status != http.StatusOK || header.Get("Content-Type") != "text/event-stream" || got.text.String() != test.text || got.state != test.state {
			t.Errorf("%s: %d %q %q\n%s", name, status, got.text.String(), got.state, body)
		}
	}
	if status, _, body := ask(t, handler, http.MethodGet, "/api/v1/runs/"+string(id)+"/attempts/a/2/output/events", ""); status != http.StatusNotFound {
		t.Errorf("no such attempt: %d %s", status, body)
	}
}

// TestFeed_AnyWrites: whatever an attempt writes in whatever pieces, who follows
// from its beginning gets all of it in order, and never half a character.
func TestFeed_AnyWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hub := web.NewHub()
		key := runner.AttemptKey{Run: "r", Job: "a", Number: 1}
		all := strings.Repeat("é€x\n", rapid.IntRange(0, 30_000).Draw(t, "times")) + "end"
		from := rapid.IntRange(0, len(all)).Draw(t, "told by the ledger")
		follower, leave := hub.FollowOutput(key, func(context.Context) (runner.Output, runner.State, error) {
			head := rapid.IntRange(0, from).Draw(t, "head")
			return runner.Output{Head: []byte(all[:head]), Tail: []byte(all[head:from])}, runner.Running, nil
		})
		defer leave()
		var got strings.Builder
		take := func() {
			for {
				text, cut, _, more := follower.Next()
				if cut > 0 {
					t.Fatalf("%d bytes are said to be cut", cut)
				}
				if from == 0 && !utf8.ValidString(text) {
					t.Fatalf("half a character in %q", text)
				}
				if got.WriteString(text); !more {
					return
				}
			}
		}
		for at := from; at < len(all); {
			n := min(rapid.IntRange(1, 100_000).Draw(t, "bytes"), len(all)-at)
			hub.Wrote(key, int64(at), []byte(all[at:at+n]))
			at += n
			if rapid.Bool().Draw(t, "reads") {
				take()
			}
		}
		hub.Observe(context.Background(), runner.AttemptEnded{Attempt: runner.Attempt{Run: key.Run, Job: key.Job, Number: key.Number, State: runner.Succeeded}})
		take()
		if got.String() != all {
			t.Fatalf("%d bytes of %d came", got.Len(), len(all))
		}
		if _, _, state, _ := follower.Next(); state != runner.Succeeded {
			t.Fatalf("the end says %q", state)
		}
	})
}

// TestFeed_Slow: who falls behind by more than is kept is told how much is
// gone, and what comes after it is right.
func TestFeed_Slow(t *testing.T) {
	t.Parallel()
	hub := web.NewHub()
	key := runner.AttemptKey{Run: "r", Job: "a", Number: 1}
	follower, leave := hub.FollowOutput(key, func(context.Context) (runner.Output, runner.State, error) {
		return runner.Output{Head: []byte("000000000\n")}, runner.Running, nil
	})
	defer leave()
	const lines = 2_000_000
	for i := range int64(lines) {
		hub.Wrote(key, i*10, fmt.Appendf(nil, "%09d\n", i))
	}
	if most := hub.FeedBytes(key); most > 9<<20 {
		t.Errorf("%d bytes are kept", most)
	}
	var at, cut, told int64
	for {
		text, gone, _, more := follower.Next()
		if text == "" && gone == 0 && !more {
			break
		}
		for line := range strings.Lines(text) {
			if want := fmt.Sprintf("%09d\n", at/10); line != want {
				// A portion may begin within a line.
				if !strings.HasSuffix(want, line) && !strings.HasPrefix(want, line) {
					t.Fatalf("at %d: %q", at, line)
				}
			}
			at += int64(len(line))
			told += int64(len(line))
		}
		at, cut = at+gone, cut+gone
	}
	if at != lines*10 || cut == 0 || told+cut != at {
		t.Errorf("it ends at %d: %d told, %d cut", at, told, cut)
	}
}
