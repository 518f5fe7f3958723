package configs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ghosteam/upkeep/configs"
)

func TestSchema_IsDeterministic(t *testing.T) {
	t.Parallel()
	first, err := configs.Schema(testCatalog(nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		again, err := configs.Schema(testCatalog(nil))
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("the schema changed from one call to the next (%v)", err)
		}
	}
}

func TestSchema_TellsEditors(t *testing.T) {
	t.Parallel()
	text, err := configs.Schema(testCatalog(nil))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Schema     string `json:"$schema"`
		Properties map[string]struct {
			Description string
			Default     any
		}
		Defs map[string]struct {
			Required   []string
			Properties map[string]struct{ Enum []string }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Schema != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("dialect %q", schema.Schema)
	}
	for key, p := range schema.Properties {
		if p.Description == "" {
			t.Errorf("%s has no description", key)
		}
	}
	if d := schema.Properties["kill_grace"].Default; d != "10s" {
		t.Errorf("default of kill_grace: %v", d)
	}
	if got := fmt.Sprint(schema.Defs["job"].Properties["kind"].Enum); got != "[backup certificate health history prune review script service system vault]" {
		t.Errorf("kinds of jobs: %s", got)
	}
	if got := fmt.Sprint(schema.Defs["check"].Properties["kind"].Enum); got != "[heartbeat script system]" {
		t.Errorf("kinds of checks: %s", got)
	}
	if got := fmt.Sprint(schema.Defs["job"].Required); got != "[kind]" {
		t.Errorf("required keys of jobs: %s", got)
	}
}

// Forms of values on which the schema and the loader must agree, one by one,
// because a fixture with several faults would hide a schema that sees only one.
func TestSchema_AgreesWithTheLoader(t *testing.T) {
	t.Parallel()
	schema := schemaOf(t, testCatalog(nil))
	job := func(options string) string {
		return `{"workflows":{"a":{"jobs":{"a":{"kind":"prune","with":{"root":"x","match":["y"],` + options + `}}}}}}`
	}
	frame := func(keys string) string {
		return `{` + keys + `,"workflows":{"a":{"jobs":{"a":{"kind":"health"}}}}}`
	}
	for _, tc := range []struct {
		text string
		good bool
	}{
		{frame(`"max_running": 3`), true},
		{frame(`"max_running": "3"`), false},
		{frame(`"max_running": 3.5`), false},
		{frame(`"max_running": 1001`), false},
		{frame(`"max_running": "${env:NUMBER}"`), true},
		{frame(`"kill_grace": "1m30s"`), true},
		{frame(`"kill_grace": 30`), false},
		{frame(`"kill_grace": "30"`), false},
		{frame(`"web": "off"`), true},
		{frame(`"web": "on"`), false},
		{frame(`"web": {}`), true},
		{frame(`"web": {"listen": "127.0.0.1:80", "anonymous": "viewer", "proxy": true, "status": true}`), true},
		{frame(`"web": {"proxy": ["10.0.0.1"], "users": {"a": {"password_hash": "$2a$10$/12HkqycDov84iuGN2Ae0.Z6Ur6FLPVSFmp3O671XCID..a0Ym8fS", "role": "admin"}}}`), true},
		{frame(`"web": {"anonymous": "boss"}`), false},
		{frame(`"web": {"users": {"a": {"password_hash": "x"}}}`), false},
		{frame(`"web": {"tls": {"cert": "a", "key": "b", "client_ca": "c", "clients": {"x y": "viewer"}}}`), true},
		{frame(`"web": {"tls": {"cert": "a", "key": "b", "client_ca": "c", "clients": {"x": "boss"}}}`), false},
		{frame(`"web": {"tls": {"cert": "a", "key": "b", "hsts": "180d"}}`), true},
		{frame(`"web": {"tls": {"cert": "a", "key": "b", "hsts": "forever"}}`), false},
		{frame(`"web": {"tls": {"cert": "a"}}`), false},
		{frame(`"web": {"port": 80}`), false},
		{frame(`"drain_timeout": "0s"`), true},
		{frame(`"drain_timeout": 5`), false},
		{frame(`"ballast": "off"`), true},
		{frame(`"ballast": 0`), true},
		{frame(`"ballast": "64 MiB"`), true},
		{frame(`"ballast": "on"`), false},
		{frame(`"history": {"keep": "2d", "runs": 5, "bytes": "1MiB"}`), true},
		{frame(`"history": {"runs": 0}`), false},
		{frame(`"history": {"days": 1}`), false},
		{frame(`"channels": {"a": {"kind": "page"}}, "routes": [{"to": "a"}]`), true},
		{frame(`"channels": {"a": {"kind": "page", "to": "x"}}`), false},
		{frame(`"channels": {"a": {"kind": "email", "smtp_server": "m", "from": "x", "to": ["y"], "tls": "none"}}`), true},
		{frame(`"channels": {"a": {"kind": "email", "smtp_server": "m", "from": "x", "to": ["y"], "tls": "ssl"}}`), false},
		{frame(`"channels": {"a": {"kind": "email"}}`), false},
		{frame(`"channels": {"a": {"kind": "page"}}, "routes": [{"match": {"severity": "critical", "reason": ["failed", "lost"]}, "to": [], "continue": true}]`), true},
		{frame(`"channels": {"a": {"kind": "page"}}, "routes": [{"match": {"severity": "fatal"}, "to": []}]`), false},
		{frame(`"channels": {"a": {"kind": "page"}}, "routes": [{"match": {"severity": ["critical", "fatal"]}, "to": []}]`), false},
		{frame(`"channels": {"a": {"kind": "page"}}, "routes": [{"match": {"reason": "broken"}, "to": []}]`), false},
		{frame(`"channels": {"a": {"kind": "page"}}, "routes": [{"match": {}}]`), false},
		{frame(`"routes": {"to": []}`), false},
		{`{"workflows":{"a":{"mode":"approve","fresh_within":"1d","alert":{"severity":"warning","off":true},"history":{"runs":3},"jobs":{"a":{"kind":"health"}}}}}`, true},
		{`{"workflows":{"a":{"mode":"watch","jobs":{"a":{"kind":"health"}}}}}`, false},
		{`{"workflows":{"a":{"mode":"observe","trigger":{"check":"system","for":"5m"},"limits":{"max":"2/24h"},"jobs":{"a":{"kind":"health"}}}}}`, true},
		{`{"workflows":{"a":{"trigger":{"check":"system","value":"x","above":1.5,"error_kind":"dns"},"jobs":{"a":{"kind":"health"}}}}}`, true},
		{`{"workflows":{"a":{"trigger":{"check":"system"},"limits":{"max":"2"},"jobs":{"a":{"kind":"health"}}}}}`, false},
		{`{"workflows":{"a":{"trigger":{"is":"warning"},"jobs":{"a":{"kind":"health"}}}}}`, false},
		{`{"workflows":{"a":{"trigger":{"check":"system","is":"bad"},"jobs":{"a":{"kind":"health"}}}}}`, false},
		{`{"workflows":{"a":{"alert":{"severity":"info"},"jobs":{"a":{"kind":"health"}}}}}`, false},
		{`{"workflows":{"a":{"alert":"off","jobs":{"a":{"kind":"health"}}}}}`, false},
		{frame(`"ledger": "sqlite:x.db"`), true},
		{frame(`"ledger": "x.db"`), false},
		{frame(`"ledger": "postgres://u@h/d"`), true},
		{frame(`"project": 12`), true},
		{frame(`"project": null`), false},
		{frame(`"stores": null`), true},
		{frame(`"stores": []`), false},
		{frame(`"stores": {"A": {"kind": "local", "path": "x"}}`), false},
		{frame(`"stores": {"a": {"kind": "local", "path": "x"}}`), true},
		{frame(`"stores": {"a": {"kind": "local", "path": ""}}`), false},
		{frame(`"stores": {"a": {"kind": "local", "path": "x", "bucket": "y"}}`), false},
		{frame(`"stores": {"a": {"kind": "s3", "bucket": "y", "part_size": 1000}}`), true},
		{frame(`"stores": {"a": {"kind": "s3", "bucket": "y", "part_size": "8 MiB"}}`), true},
		{frame(`"stores": {"a": {"kind": "s3", "bucket": "y", "part_size": "-1"}}`), false},
		{frame(`"checks": {"a": {"kind": "system", "with": {"warn": "80%"}}}`), true},
		{frame(`"checks": {"a": {"kind": "system", "with": {"warn": "180%"}}}`), false},
		{frame(`"checks": {"a": {"kind": "health"}}`), false},
		{job(`"ratio": 0.5`), true},
		{job(`"ratio": "0.5"`), false},
		{job(`"ratio": "${env:NUMBER}"`), true},
		{job(`"apply": true`), true},
		{job(`"apply": "true"`), false},
		{job(`"limits": {"files": 1}`), true},
		{job(`"limits": {"files": 1, "more": 1}`), false},
		{job(`"limits": null`), true},
		{job(`"groups": [{"path": "x"}]`), true},
		{job(`"groups": null`), true},
		{`{"workflows":{"a":{"jobs":{"a":{"kind":"prune","with":{"root":"x","match":null}}}}}}`, false},
		{`{"workflows":{"a":{"jobs":{"a":{"kind":"prune","with":null}}}}}`, false},
		{job(`"groups": [{}]`), false},
		{job(`"groups": {"path": "x"}`), false},
		{job(`"named": {"x": "y"}`), true},
		{job(`"named": {"x": ["y"]}`), false},
		{`{"workflows":{"a":{"jobs":{"a":{"kind":"script"}}}}}`, false},
		{`{"workflows":{"a":{"jobs":{"a":{"kind":"script","with":{"run":"x"}}}}}}`, true},
		{`{"workflows":{"a":{"jobs":{"a":{"kind":"script","with":{"run":["x", 1]}}}}}}`, true},
		{`{"workflows":{"a":{"jobs":{"a":{"kind":"script","with":{"run":{"x":1}}}}}}}`, false},
		{`{"workflows":{"a":{"jobs":{"a":{"kind":"health","needs":"b"},"b":{"kind":"health"}}}}}`, true},
		{`{"workflows":{"a":{"jobs":{"a":{"kind":"health","retry":{"max":1,"backoff":"1m..2m"}}}}}}`, true},
		{`{"workflows":{"a":{"jobs":{"a":{"kind":"health","retry":{"max":1,"backoff":"1m.."}}}}}}`, false},
		{`{"workflows":{"a":{"runs_on":{"every":{"label":"x"}},"jobs":{"a":{"kind":"health"}}}}}`, true},
		{`{"workflows":{"a":{"runs_on":{"every":"x"},"jobs":{"a":{"kind":"health"}}}}}`, false},
		{`{"workflows":{"a":{"jobs":{}}}}`, false},
		{`{"workflows":{"a":{}}}`, false},
		{`{}`, true},
		{`[]`, false},
	} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(tc.text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document); (err == nil) != tc.good {
			t.Errorf("schema, good %v: %s: %v", tc.good, tc.text, err)
		}
		if _, err := load(t, tc.text, testEnv()); (err == nil) != tc.good {
			t.Errorf("loader, good %v: %s:\n%v", tc.good, tc.text, err)
		}
	}
}
