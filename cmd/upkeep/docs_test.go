package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	upkeep "github.com/ghosteam/upkeep/cmd/upkeep"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

// call runs a command line in this process.
func call(t *testing.T, code int, args ...string) (stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	got := upkeep.Main(args, upkeep.Stdio{In: strings.NewReader(""), Out: &out, Err: &errs})
	if got != code {
		t.Fatalf("upkeep %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errs.String())
	}
	return out.String()
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sections splits a page at its headings that name a command: "upkeep run
// WORKFLOW", or below the heading of a command, "alert test CHANNEL".
func sections(page string) map[string]string {
	out := map[string]string{}
	heading := regexp.MustCompile(`(?m)^(##+) (.*)\n`)
	at := heading.FindAllStringSubmatchIndex(page, -1)
	for n, m := range at {
		end := len(page)
		if n+1 < len(at) {
			end = at[n+1][0]
		}
		title, named := strings.CutPrefix(page[m[4]:m[5]], "upkeep ")
		if named || page[m[2]:m[3]] == "####" {
			path := regexp.MustCompile(`^[a-z][a-z-]*( [a-z-]+)*`).FindString(title)
			out[path] = "upkeep " + title + "\n" + page[m[1]:end]
		}
	}
	return out
}

// commandsOf lists the commands of the program, and below each its own.
func commandsOf(t *testing.T, path ...string) []string {
	t.Helper()
	var all []string
	for _, m := range commandLine.FindAllStringSubmatch(call(t, 0, append(path, "--help")...), -1) {
		below := append(slices.Clone(path), m[1])
		all = append(all, strings.Join(below, " "))
		all = append(all, commandsOf(t, below...)...)
	}
	return all
}

var (
	commandLine = regexp.MustCompile(`(?m)^  ([a-z-]+)  +[A-Z]`)
	flagName    = regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([a-z-]+)`)
)

// Every command and every flag is on the page, under the right heading, and
// nothing else is.
func TestDocs_CLI(t *testing.T) {
	t.Parallel()
	page := readDoc(t, "cli.md")
	documented := sections(page)
	commands := commandsOf(t)
	if diff := cmp.Diff(slices.Sorted(slices.Values(commands)), slices.Sorted(maps.Keys(documented))); diff != "" {
		t.Errorf("commands (-program +docs/cli.md):\n%s", diff)
	}
	for _, name := range commands {
		help := call(t, 0, append(strings.Fields(name), "--help")...)
		usage := regexp.MustCompile(`(?m)^  upkeep (.*?)(?: \[FLAGS\])?$`).FindStringSubmatch(help[strings.Index(help, "Usage:"):])
		if usage == nil || !strings.HasPrefix(documented[name], "upkeep "+usage[1]+"\n") {
			t.Errorf("docs/cli.md has no heading %q", usage)
		}
		own, _, _ := strings.Cut(help, "Flags of every command:")
		var want, got []string
		for _, m := range flagName.FindAllStringSubmatch(own, -1) {
			want = append(want, "--"+m[2])
			if m[1] != "" {
				want = append(want, "-"+m[1])
			}
		}
		for _, m := range regexp.MustCompile("`(--?[a-z-]+)").FindAllStringSubmatch(tableOf(documented[name]), -1) {
			got = append(got, m[1])
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("flags of %s (-program +docs/cli.md):\n%s", name, diff)
		}
	}
}

// tableOf returns the first cells of the rows of a section's table.
func tableOf(section string) string {
	var cells []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `") {
			cells = append(cells, strings.SplitN(line, "|", 3)[1])
		}
	}
	return strings.Join(cells, "\n")
}

// The exit codes are told in the help of every command, and on the page.
func TestDocs_ExitCodes(t *testing.T) {
	t.Parallel()
	codes := regexp.MustCompile(`(?m)(?:^|   ) *(\d+)  `)
	var want []string
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(readDoc(t, "cli.md"), -1) {
		want = append(want, m[1])
	}
	slices.Sort(want)
	for _, name := range commandsOf(t) {
		help := call(t, 0, append(strings.Fields(name), "--help")...)
		_, told, _ := strings.Cut(help, "\nExit codes:\n")
		var got []string
		for _, c := range codes.FindAllStringSubmatch(told, -1) {
			got = append(got, c[1])
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("exit codes in the help of %s (-docs/cli.md +program):\n%s", name, diff)
		}
		if !strings.Contains(help, "\nExamples:\n  upkeep ") {
			t.Errorf("the help of %s has no example", name)
		}
		for line := range strings.Lines(help) {
			if strings.Contains(line, "`") && strings.Count(line, "`")%2 == 1 {
				t.Errorf("the help of %s has an open quote: %s", name, line)
			}
		}
	}
}

// stage is a configuration whose runs fill every key of the JSON.
const stage = `
project: stage
timezone: UTC
ballast: off
history: {runs: 1}
stores:
  local: {kind: local, path: store}
workflows:
  daily:
    description: fills every key
    schedule: {daily: "02:30"}
    params: {tag: {type: string, default: nightly}}
    jobs:
      measure: {kind: script, with: {run: "cp result.json $UPKEEP_RESULT", result: json}}
      archive: {kind: archive, with: {paths: [result.json], store: local}}
      broken: {kind: script, with: {run: [no-such-program]}}
  mend:
    trigger: {check: system, value: load1, above: 1e9}
    jobs:
      look: {kind: script, with: {run: ["true"]}}
`

const result = `{"schema": 1, "summary": "measured", "values": {"rows": 3}, "outputs": {"worst": "b"},
"findings": [{"id": "drift", "severity": "warning", "text": "b drifts"}],
"events": [{"kind": "deploy", "subject": "model", "text": "1.4.2 ok"}]}`

// The keys on the page are those that the program prints, in both directions.
func TestDocs_JSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, berlin := filepath.Join(dir, "upkeep.yaml"), filepath.Join(dir, "berlin.yaml")
	for name, text := range map[string]string{
		"upkeep.yaml": stage, "result.json": result, "berlin.yaml": strings.Replace(stage, "UTC", "Europe/Berlin", 1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	healthy := filepath.Join(dir, "healthy.yaml")
	if err := os.WriteFile(healthy, []byte("checks: {api: {kind: script, with: {run: [echo, metric rows=3]}}}\nworkflows: {daily: {jobs: {say: {kind: script, with: {run: [echo]}}}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	every := filepath.Join(dir, "every.yaml")
	if err := os.WriteFile(every, []byte("workflows: {daily: {schedule: {daily: \"00:00\"}, runs_on: every, jobs: {say: {kind: script, with: {run: [echo]}}}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := &house{dir: dir}
	h.owe(t)
	d := h.serve(t)
	detached, _ := h.upkeep(t, 0, "run", "daily", "--detach", "-o", "json")
	h.runs(t, "daily", "failed")
	levels, _ := h.upkeep(t, 0, "log", "level", "debug", "--for", "1h", "-o", "json")
	d.stop(t)
	call(t, 0, "-c", config, "pause", "daily", "--reason", "to see", "--until", "1h")
	call(t, 0, "-c", config, "pause", "mend", "--reason", "to see")
	call(t, 0, "-c", config, "metric", "add", "accuracy=0.93")
	call(t, 0, "-c", config, "event", "deploy", "--version", "1.4.3")
	call(t, 0, "-c", config, "silence", "add", "--check", "db*", "--for", "1h", "--why", "to see")
	h.raise(t)
	held, err := json.Marshal([]api.Lock{{Holders: []api.LockOwner{{}}, Waiters: []api.LockWaiter{{}}, Others: []api.OtherOwner{{}}}})
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string][]string{
		"run":               {detached},
		"version":           {call(t, 0, "version", "-o", "json")},
		"kinds":             {call(t, 0, "kinds", "-o", "json"), call(t, 0, "kinds", "prune", "-o", "json")},
		"show":              {call(t, 1, "-c", config, "run", "daily", "-q", "-o", "json"), call(t, 0, "-c", config, "show", "last", "-o", "json")},
		"history":           {call(t, 0, "-c", config, "history", "-o", "json")},
		"list":              {call(t, 0, "-c", config, "list", "-o", "json")},
		"why":               {call(t, 0, "-c", every, "why", "daily", "-o", "json")},
		"plan":              {call(t, 0, "-c", config, "plan", "-o", "json")},
		"plan --around-dst": {call(t, 0, "-c", berlin, "plan", "--around-dst", "2027", "-o", "json")},
		"alert outbox":      {call(t, 0, "-c", config, "alert", "outbox", "-o", "json")},
		"incident list":     {call(t, 0, "-c", config, "incident", "list", "-o", "json")},
		"incident show":     {call(t, 0, "-c", config, "incident", "show", "store", "-o", "json")},
		"silence list":      {call(t, 0, "-c", config, "silence", "list", "-o", "json")},
		"doctor":            {call(t, 1, "-c", config, "doctor", "-o", "json")},
		"kpi":               {call(t, 0, "-c", config, "kpi", "-o", "json")},
		"kpi --explain":     {call(t, 0, "-c", config, "kpi", "--explain", "deploy_frequency", "-o", "json")},
		"runbook list":      {call(t, 0, "-c", config, "runbook", "list", "-o", "json")},
		"runbook show":      {call(t, 0, "-c", config, "runbook", "show", "mend", "-o", "json")},
		"runbook plan":      {call(t, 4, "-c", config, "runbook", "plan", "mend", "-o", "json")},
		"prune-history":     {call(t, 0, "-c", config, "prune-history", "--dry-run", "-o", "json")},
		"metric list":       {call(t, 0, "-c", config, "metric", "list", "-o", "json")},
		"metric show":       {call(t, 0, "-c", config, "metric", "show", "accuracy", "-o", "json")},
		"log level":         {levels},
		"event list":        {call(t, 0, "-c", config, "event", "list", "-o", "json")},
		"token create":      {call(t, 0, "-c", config, "token", "create", "anna", "--role", "viewer", "--expires", "1d", "-o", "json")},
		"token list":        {call(t, 0, "-c", config, "token", "list", "-o", "json")},
		"audit":             {call(t, 0, "-c", config, "audit", "-o", "json")},
		"nodes":             {call(t, 0, "-c", config, "nodes", "-o", "json")},
		"ledger status":     {call(t, 0, "-c", config, "ledger", "status", "-o", "json")},
		"locks":             {string(held)},
		"backup": {
			call(t, 0, "-c", config, "backup", "list", "-o", "json"), call(t, 0, "-c", config, "backup", "verify", "--newest", "-o", "json"),
			call(t, 0, "-c", config, "backup", "prune", "-o", "json"), call(t, 0, "-c", config, "backup", "drill", "-o", "json"),
		},
		"validate": {call(t, 0, "-c", config, "validate", "-o", "json")},
		"health":   {call(t, 0, "-c", healthy, "health", "-o", "json")},
	}
	page := readDoc(t, "json.md")
	documented := sections(page)
	for _, name := range commandsOf(t) {
		if strings.Contains(call(t, 0, append(strings.Fields(name), "--help")...), "-o, --output") && !strings.Contains(page, "upkeep "+pageOf(name)+"\n") {
			t.Errorf("docs/json.md does not say what %s prints", name)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(printed)), slices.Sorted(maps.Keys(documented))); diff != "" {
		t.Errorf("commands (-program +docs/json.md):\n%s", diff)
	}
	for name, texts := range printed {
		want := keysOf(documented[name])
		for _, other := range sharedKeys[name] {
			for _, key := range keysOf(documented[other.page]) {
				want = append(want, other.below+key)
			}
		}
		slices.Sort(want)
		for _, text := range texts {
			var data any
			if err := json.Unmarshal([]byte(text), &data); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, text)
			}
			if list, ok := data.([]any); ok {
				data = map[string]any{"": list}
			}
			got := map[string]bool{}
			collect(got, "", data)
			if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
				t.Errorf("keys of upkeep %s -o json (-docs/json.md +program):\n%s", name, diff)
			}
		}
	}
}

// pageOf is the heading under which the JSON of a command stands.
func pageOf(command string) string {
	switch command {
	case "retry":
		return "show"
	case "alert outbox list":
		return "alert outbox"
	}
	if strings.HasPrefix(command, "backup ") {
		return "backup"
	}
	return command
}

// sharedKeys are the commands that print what others print too, and where.
var sharedKeys = map[string][]struct{ page, below string }{
	"show":          {{page: "history"}},
	"runbook show":  {{page: "runbook list"}},
	"token create":  {{page: "token list"}},
	"kpi --explain": {{page: "kpi"}},
	"incident show": {{page: "incident list"}, {page: "alert outbox", below: "notices[]."}, {page: "event list", below: "changes[]."}},
}

// raise opens an incident in a house in which nothing runs.
func (h *house) raise(t *testing.T) {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Options{DSN: secret.New("sqlite:" + filepath.Join(h.dir, "var", "upkeep.db"))})
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Raise(t.Context(), runner.Fault{
		Fingerprint: "check/store", Check: "store", Severity: jobs.Critical, Reason: "check", Title: "store is critical", At: time.Now(), Channels: []string{"ops"},
	})
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
}

// owe puts a notice into the outbox of a house in which nothing runs.
func (h *house) owe(t *testing.T) {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Options{DSN: secret.New("sqlite:" + filepath.Join(h.dir, "var", "upkeep.db"))})
	if err != nil {
		t.Fatal(err)
	}
	asked, err := l.Submit(t.Context(), runner.Request{
		Spec: runner.Spec{Workflow: "mend", Text: "jobs: {}"}, Slot: time.Now(), Trigger: runner.ByCheck, State: runner.Skipped, Reason: runner.ReasonOverlap,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.PutRemedy(t.Context(), runner.Remedy{Run: asked[0].Run, Workflow: "mend", Check: "system", BegunAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Owe(t.Context(), runner.Notice{Channel: "ops", Action: runner.NoticeRemind, Subject: "subject", Text: "text"}), l.Close()); err != nil {
		t.Fatal(err)
	}
}

func keysOf(section string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(section, -1) {
		out = append(out, m[1])
	}
	return out
}

// freeNames are the objects whose keys users choose.
var freeNames = []string{"params", "jobs", "runs", "values", "outputs", "components"}

// formless is the object whose keys are no promise.
const formless = "sections[].facts"

// collect adds the paths of all keys in data.
func collect(into map[string]bool, at string, data any) {
	switch data := data.(type) {
	case map[string]any:
		free := slices.Contains(freeNames, at[strings.LastIndexAny(at, ".")+1:])
		for name, value := range data {
			switch {
			case name == "": // the list at the top
				for _, item := range value.([]any) {
					collect(into, "", item)
				}
				continue
			case free:
				name = "NAME"
			}
			path := strings.TrimPrefix(at+"."+name, ".")
			if _, object := value.(map[string]any); !free || !object {
				into[path] = true
			}
			if path != formless {
				collect(into, path, value)
			}
		}
	case []any:
		for _, item := range data {
			if _, object := item.(map[string]any); object {
				collect(into, at+"[]", item)
			}
		}
	case string, float64, bool, nil:
	default:
		panic(fmt.Sprintf("%T in JSON", data))
	}
}
