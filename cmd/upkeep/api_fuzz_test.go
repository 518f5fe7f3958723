package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/web/socket"
)

// The planted secrets of the fuzzed service: one in the environment, one in a
// file, one in the file of the configuration itself, in a URL.
const (
	plantedEnv  = "pl4nted-env-hunter2"
	plantedFile = "pl4nted-file-swordfish"
	plantedURL  = "pl4nted-url-correcthorse"
)

const fuzzConfig = `
project: fuzzed
timezone: UTC
ballast: off
stores:
  local: {kind: local, path: store}
databases:
  main: {kind: postgres, url: "postgres://upkeep:` + plantedURL + `@127.0.0.1:1/main"}
checks:
  here: {kind: system, every: 1h}
workflows:
  talk:
    description: says what it must not
    params: {tag: {type: string, default: nightly}}
    jobs:
      say:
        kind: script
        with: {run: 'echo "$A $B"; echo "{\"summary\": \"used $A\", \"values\": {\"n\": 1}}" > "$UPKEEP_RESULT"', env: {A: "${env:PLANTED}", B: "${file:secret}"}}
`

// fuzzed is a service that is asked whatever its own document allows, and what
// it does not.
type fuzzed struct {
	client   *http.Client
	spec     map[string]any
	compiler *jsonschema.Compiler
	run      string
	// operations are "METHOD path", without streams.
	operations []string
}

func newFuzzed(t *testing.T) *fuzzed {
	t.Helper()
	h := newHouse(t, fuzzConfig)
	h.env = append(h.env, "PLANTED="+plantedEnv)
	h.write(t, "secret", plantedFile+"\n")
	h.serve(t)
	h.upkeep(t, 0, "run", "talk", "-q")
	at := filepath.Join(h.dir, "var", "upkeep.sock")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, at) }}
	t.Cleanup(transport.CloseIdleConnections)
	f := &fuzzed{client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	_, _, text := f.ask(t, http.MethodGet, "/api/v1/openapi.json", "")
	if err := json.Unmarshal([]byte(text), &f.spec); err != nil {
		t.Fatal(err)
	}
	f.compiler = jsonschema.NewCompiler()
	if err := f.compiler.AddResource("openapi.json", f.spec); err != nil {
		t.Fatal(err)
	}
	paths := f.spec["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for method, operation := range paths[path].(map[string]any) {
			if in(operation, "responses", "200", "content", "text/event-stream") == nil { // a stream has no end
				f.operations = append(f.operations, method+" "+path)
			}
		}
	}
	slices.Sort(f.operations)
	_, _, text = f.ask(t, http.MethodGet, "/api/v1/runs?limit=1", "")
	f.run = strings.Split(strings.Split(text, `"id":"`)[1], `"`)[0]
	return f
}

// ask returns what is answered.
func (f *fuzzed) ask(t interface{ Fatalf(string, ...any) }, method, target, body string) (int, http.Header, string) {
	r, err := http.NewRequestWithContext(context.Background(), strings.ToUpper(method), "http://upkeep"+target, strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v", err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := f.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err) // a panic would end the connection
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return response.StatusCode, response.Header, string(text)
}

// in walks down a decoded document.
func in(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

// hostile are texts that have broken programs.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"", "'; DROP TABLE runs; --", "../../etc/passwd", "%00", "\x00", "\xff", "${env:PLANTED}", "${file:secret}", "null", "-1", "1e999", "9223372036854775808",
		"true", "2026-13-45T99:99:99Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999+14:00", "*", "[", "((((a*)*)*)*)*b", strings.Repeat("x", 5000), "<script>alert(1)</script>", "a,b,,c",
	}))
}

// valueOf draws a value of a schema, most often one that fits.
func (f *fuzzed) valueOf(t *rapid.T, schema any, name string, depth int) any {
	if ref, ok := in(schema, "$ref").(string); ok {
		schema = in(f.spec, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	if rapid.IntRange(0, 9).Draw(t, "odd") == 0 || depth > 4 {
		return hostile().Draw(t, name)
	}
	if words, ok := in(schema, "enum").([]any); ok && len(words) > 0 {
		return rapid.SampledFrom(words).Draw(t, name)
	}
	kind := in(schema, "type")
	if several, ok := kind.([]any); ok {
		kind = several[0]
	}
	switch kind {
	case "boolean":
		return rapid.Bool().Draw(t, name)
	case "integer":
		return rapid.OneOf(rapid.IntRange(-2, 1100), rapid.Int()).Draw(t, name)
	case "number":
		return rapid.OneOf(rapid.Float64Range(-1, 100), rapid.Float64Range(-1e300, 1e300)).Draw(t, name)
	case "array":
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			list = append(list, f.valueOf(t, in(schema, "items"), name, depth+1))
		}
		return list
	case "object":
		object := map[string]any{}
		properties, _ := in(schema, "properties").(map[string]any)
		required, _ := in(schema, "required").([]any)
		for _, key := range slices.Sorted(maps.Keys(properties)) {
			if slices.Contains(required, any(key)) || rapid.Bool().Draw(t, "has "+key) {
				object[key] = f.valueOf(t, properties[key], key, depth+1)
			}
		}
		return object
	}
	if in(schema, "format") == "date-time" {
		return rapid.SampledFrom([]string{"2026-11-23T02:30:00Z", "2099-01-01T00:00:00Z", "1970-01-01T00:00:00+05:00"}).Draw(t, name)
	}
	return f.textOf(t, name)
}

// textOf draws a text of which something may be known under that name.
func (f *fuzzed) textOf(t *rapid.T, name string) string {
	known := map[string][]string{
		"id": {f.run, f.run[:8], "019"}, "workflow": {"talk"}, "job": {"say"}, "jobs": {"say"}, "number": {"1"}, "run": {f.run}, "date": {"2026-11-23", "today"}, "before": {f.run},
		"from": {"say"}, "series": {"x", "a.b"}, "check": {"here"}, "window": {"7d", "1h"}, "logger": {"http"}, "level": {"debug", "info"}, "until": {"2099-01-01T00:00:00Z"}, "kind": {"deploy"}, "token": {"grafana"},
	}[name]
	if len(known) == 0 || rapid.IntRange(0, 3).Draw(t, "other") == 0 {
		return hostile().Draw(t, name)
	}
	return rapid.SampledFrom(known).Draw(t, name)
}

// request draws a request of an operation.
func (f *fuzzed) request(t *rapid.T, method, path string) (target, body string) {
	operation := in(f.spec, "paths", path, method)
	target = path
	query := url.Values{}
	parameters, _ := in(operation, "parameters").([]any)
	for _, p := range parameters {
		name, _ := in(p, "name").(string)
		switch in(p, "in") {
		case "path":
			target = strings.Replace(target, "{"+name+"}", url.PathEscape(f.textOf(t, name)), 1)
		case "query":
			if in(p, "required") == true || rapid.IntRange(0, 2).Draw(t, "with "+name) == 0 {
				value := f.valueOf(t, in(p, "schema"), name, 0)
				if list, ok := value.([]any); ok {
					words := make([]string, len(list))
					for i, w := range list {
						words[i] = fmt.Sprint(w)
					}
					value = strings.Join(words, ",")
				}
				query.Set(name, fmt.Sprint(value))
			}
		}
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	schema := in(operation, "requestBody", "content", "application/json", "schema")
	if schema == nil {
		return target, ""
	}
	if rapid.IntRange(0, 9).Draw(t, "no JSON") == 0 {
		return target, hostile().Draw(t, "body")
	}
	text, err := json.Marshal(f.valueOf(t, schema, "body", 0))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return target, string(text)
}

// TestAPI_FuzzBySchema asks every operation of a real service, with a real
// ledger, for what the document allows and for what it does not: no answer is a
// fault of the service, each conforms, and none has a secret.
func TestAPI_FuzzBySchema(t *testing.T) {
	t.Parallel()
	f := newFuzzed(t)
	succeeded, asked := map[string]bool{}, 0
	rapid.Check(t, func(t *rapid.T) {
		for _, operation := range rapid.SliceOfN(rapid.SampledFrom(f.operations), 10, 10).Draw(t, "operations") {
			method, path, _ := strings.Cut(operation, " ")
			target, body := f.request(t, method, path)
			if operation == "post /api/v1/drain" && strings.Contains(body, "until_idle") {
				body = `{"mode":"until_idle","max_seconds":0.1}` // or it waits for as long as it is told
			}
			status, header, answer := f.ask(t, method, target, body)
			asked++
			f.judge(t, operation, target, body, status, header, answer)
			if status < http.StatusMultipleChoices {
				succeeded[operation] = true
			}
			if operation == "post /api/v1/drain" {
				f.ask(t, http.MethodDelete, "/api/v1/drain", "")
			}
		}
	})
	t.Logf("%d requests; %d of %d operations succeeded at least once", asked, len(succeeded), len(f.operations))
	if asked >= 500 && len(succeeded) < len(f.operations)/2 { // on a slow machine there are fewer requests
		t.Errorf("only %d of %d operations ever succeeded: the requests make too little sense", len(succeeded), len(f.operations))
	}
}

// judge looks at one answer.
func (f *fuzzed) judge(t *rapid.T, operation, target, body string, status int, header http.Header, answer string) {
	method, path, _ := strings.Cut(operation, " ")
	if status >= http.StatusInternalServerError {
		t.Errorf("%s %s %q: %d %s", method, target, body, status, answer)
	}
	for _, secret := range []string{plantedEnv, plantedFile, plantedURL} {
		if strings.Contains(answer, secret) {
			t.Errorf("%s %s tells a secret: %s", method, target, answer)
		}
	}
	if status == http.StatusTemporaryRedirect || status == http.StatusMovedPermanently {
		return // a part of the address was empty or dots, so that it is another one
	}
	media, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	where := fmt.Sprint(status)
	if in(f.spec, "paths", path, method, "responses", where) == nil {
		where = "default"
	}
	if in(f.spec, "paths", path, method, "responses", where, "content", media) == nil {
		t.Errorf("%s %s: the document knows no %d as %q: %s", method, target, status, media, answer)
		return
	}
	if !strings.HasSuffix(media, "json") {
		return
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	schema, err := f.compiler.Compile("openapi.json#/paths/" + escape.Replace(path) + "/" + method + "/responses/" + where + "/content/" + escape.Replace(media) + "/schema")
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(answer))
	if err != nil {
		t.Fatalf("%s: %v: %s", operation, err, answer)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s %s: %v\n%s", method, target, err, answer)
	}
}
