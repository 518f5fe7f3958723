package reports_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/runner"
)

// hostile is text that somebody could plant in the message of a job.
const hostile = "\"><script>alert(1)</script><img src=x onerror=alert(2)> | `x` [a](javascript:b) \u202e\x1b[31m"

// busy is a week in which much happened.
func busy() *shelf {
	s := newShelf()
	for d := range 7 {
		at := noon.Add(-time.Duration(6-d)*day - 9*time.Hour)
		a := s.job("daily", "space", at, jobs.Result{Values: map[string]float64{"bytes.logs": float64(d+1) * (1 << 20), "free_bytes.logs": 1 << 30}})
		a.Kind = "usage"
		if d == 3 {
			r := &s.runs[len(s.runs)-1]
			r.State, r.Message = runner.Failed, hostile
			a.State, a.Reason, a.Error = runner.Failed, runner.ReasonError, hostile
		}
	}
	s.runs[6].FinishedAt = s.runs[6].StartedAt.Add(3 * time.Minute)
	for i := range 7 * 24 * 12 { // every five minutes, folded
		at := noon.Add(-7*day + time.Duration(i)*5*time.Minute)
		up := 10.0
		if i == 600 {
			up = 4
		}
		s.samples["check.api.up"] = append(s.samples["check.api.up"], runner.Stretch{At: at, Length: 5 * time.Minute, Count: 10, Sum: up, Low: min(1, up-4), High: 1})
		s.samples["check.api.seconds"] = append(s.samples["check.api.seconds"], runner.Stretch{At: at, Length: 5 * time.Minute, Count: 10, Sum: 0.8, Low: 0.05, High: 0.15})
	}
	fault := noon.Add(-7*day + 600*5*time.Minute)
	i := s.incident("api", fault, fault.Add(30*time.Second), fault.Add(56*time.Second), fault.Add(3*time.Minute))
	i.Title, i.Channels, i.Reason = "api: connection refused "+hostile, []string{"ops"}, "check"
	i.AckedAt, i.AckedBy = fault.Add(time.Minute), "ana"
	s.notices = append(s.notices,
		runner.Notice{ID: "n1", Incident: i.ID, Channel: "ops", Action: runner.NoticeOpen, State: runner.NoticeSent, Attempts: 2, CreatedAt: i.OpenedAt, EndedAt: i.OpenedAt.Add(31 * time.Second), Receipt: "250 ok"},
		runner.Notice{ID: "n2", Incident: i.ID, Channel: "pager", Action: runner.NoticeOpen, State: runner.NoticeDead, Attempts: 9, CreatedAt: i.OpenedAt, EndedAt: i.OpenedAt.Add(day), Error: hostile})
	s.deploy(fault.Add(-20*time.Minute), "1.4.2 ok: "+hostile)
	s.deploy(fault.Add(-3*day), "1.4.1 ok")
	return s
}

func review() reports.Review {
	p := watched("api", "quiet")
	p.Window, p.UptimeChecks, p.Response.Checks, p.Errors.Checks = 7*day, []string{"api"}, []string{"api"}, []string{"api"}
	return reports.Review{
		Project: "ghosteam-v5", Plan: p, Now: noon, Unread: []string{"store offsite: no route to host"},
		Backups: []reports.Backup{
			{Of: reports.JobName{Workflow: "daily", Job: "backup"}, Store: "local", Created: noon.Add(-9 * time.Hour), Bytes: 3 << 20, Level: "L2", ProvenAt: noon.Add(-8 * time.Hour)},
			{Of: reports.JobName{Workflow: "daily", Job: "backup"}, Store: "local", Created: noon.Add(-33 * time.Hour), Bytes: 2 << 20, Level: "L1"},
			{Of: reports.JobName{Workflow: "monthly", Job: "archive"}, Store: "local", Created: noon.Add(-20 * day), Bytes: 5 << 30, Damage: "a part is missing"},
		},
	}
}

// diary is a timeline.
type diary []runner.Entry

func (d diary) Timeline(context.Context, string) ([]runner.Entry, error) { return d, nil }

func postMortem(t *testing.T) reports.Document {
	t.Helper()
	s := busy()
	i := s.incidents[0]
	d, err := reports.PostMortem(t.Context(), s.source(), diary{
		{At: i.OpenedAt, Kind: runner.EntryOpened, Text: "api: connection refused"},
		{At: i.OpenedAt, Kind: runner.EntryEvidence, Name: "memory", Text: "MemTotal: 16 GiB\n```\n" + hostile},
		{At: i.AckedAt, Kind: runner.EntryAcked, By: "ana", Text: "looking"},
		{At: i.ResolvedAt, Kind: runner.EntryResolved},
	}, "incident-0", noon)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocuments_Markdown(t *testing.T) {
	t.Parallel()
	week, err := review().Document(t.Context(), busy().source())
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]reports.Document{"review.md": week, "postmortem.md": postMortem(t)} {
		var b bytes.Buffer
		if err := d.Markdown(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if os.Getenv("UPKEEP_TEST_UPDATE") != "" {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got; UPKEEP_TEST_UPDATE=1 writes it anew):\n%s", name, diff)
		}
		for line := range strings.SplitSeq(b.String(), "\n") {
			if strings.ContainsAny(line, "\x1b\u202e") {
				t.Errorf("%s orders a terminal: %q", name, line)
			}
			if strings.Contains(line, "<script") && strings.HasPrefix(line, "|") {
				t.Errorf("%s has a script: %s", name, line)
			}
		}
	}
}

// The file is well formed, has nothing that runs or comes from elsewhere, and
// shows what was planted as the text that it is.
func TestDocuments_HTML(t *testing.T) {
	t.Parallel()
	week, err := review().Document(t.Context(), busy().source())
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]reports.Document{"review": week, "postmortem": postMortem(t)} {
		var b bytes.Buffer
		if err := d.HTML(&b); err != nil {
			t.Fatal(err)
		}
		elements, text := parseHTML(t, b.Bytes())
		if !strings.Contains(text, `"><script>alert(1)</script><img src=x onerror=alert(2)>`) {
			t.Errorf("%s does not show what was planted", name)
		}
		if elements["svg"] == 0 || elements["polyline"]+elements["circle"] == 0 || elements["table"] == 0 {
			t.Errorf("%s has no chart or no table: %v", name, elements)
		}
		if strings.ContainsAny(b.String(), "\x1b\u202e") {
			t.Errorf("%s holds characters that nobody sees", name)
		}
	}
}

// parseHTML walks through a page and returns its elements and texts.
func parseHTML(t *testing.T, page []byte) (elements map[string]int, text string) {
	t.Helper()
	allowed := []string{
		"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "section", "figure", "figcaption", "div", "table", "thead", "tbody",
		"tr", "th", "td", "pre", "svg", "line", "text", "polyline", "circle", "rect",
	}
	d := xml.NewDecoder(bytes.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	elements = map[string]int{}
	var b strings.Builder
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			elements[token.Name.Local]++
			if !slices.Contains(allowed, token.Name.Local) {
				t.Errorf("there is an element %s", token.Name.Local)
			}
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || slices.Contains([]string{"src", "href", "style", "xlink"}, a.Name.Local) {
					t.Errorf("there is an attribute %s=%q of %s", a.Name.Local, a.Value, token.Name.Local)
				}
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			b.Write(token)
		case xml.Comment:
			t.Errorf("there is a comment %q", token)
		}
	}
	if depth != 0 {
		t.Errorf("%d elements are not closed", depth)
	}
	return elements, b.String()
}

func TestPostMortem_NotFound(t *testing.T) {
	t.Parallel()
	if _, err := reports.PostMortem(t.Context(), newShelf().source(), nil, "nothing", noon); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

// An incident of a workflow, still open, without a timeline and without samples.
func TestPostMortem_OfAWorkflow(t *testing.T) {
	t.Parallel()
	s := newShelf()
	i := s.incident("", time.Time{}, time.Time{}, noon.Add(-time.Hour), time.Time{})
	i.Fingerprint, i.Workflow, i.Title, i.Run = "workflow/daily", "daily", "daily failed", "run-1"
	d, err := reports.PostMortem(t.Context(), s.source(), nil, i.ID, noon)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := d.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Post-mortem: daily failed", "still open, for 1h so far", "| opened: daily failed |", "nobody was told", "no change is on record for the 24h before"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "Answers of the check") {
		t.Error("a workflow has no answers")
	}
}
