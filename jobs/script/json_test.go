package script_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/script"
)

// write returns a script that leaves text as its result file.
func write(text string) string {
	return "cat > \"$UPKEEP_RESULT\" <<'END'\n" + text + "\nEND\n"
}

func TestRun_JSON(t *testing.T) {
	t.Parallel()
	artifact := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(artifact, []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("<html>"))
	proof := fmt.Sprintf(`{"schema":1,"summary":"made","artifacts":[{"name":"r","path":%q,"bytes":6,"sha256":%q}]}`, artifact, hex.EncodeToString(sum[:]))
	tests := []struct {
		name, run, want string
	}{
		{name: "no file", run: "true", want: "it was not written"},
		{name: "an empty file", run: `: > "$UPKEEP_RESULT"`, want: "it is empty"},
		{name: "a link", run: `ln -s /etc/passwd "$UPKEEP_RESULT"`, want: "symbolic link"},
		{name: "a pipe", run: `mkfifo "$UPKEEP_RESULT"`, want: "not a regular file"},
		{name: "cut", run: write(`{"schema":1,"summary":"x"`), want: "cut off"},
		{name: "nothing but space", run: "echo > \"$UPKEEP_RESULT\"", want: "cut off"},
		{name: "a folder", run: `mkdir "$UPKEEP_RESULT"`, want: "not a regular file"},
		{name: "not an object", run: write(`[1]`), want: "array does not fit"},
		{name: "a syntax error in line 3", run: write("{\"schema\":1,\n\n'x':1}"), want: "line 3: invalid character"},
		{name: "a key twice", run: write("{\"schema\":1,\n\"summary\":\"a\",\"summary\":\"b\"}"), want: `line 2: key "summary" stands twice`},
		{name: "a value twice", run: write(`{"schema":1,"values":{"a":1,"b":{},"a":2}}`), want: `key "a" stands twice`},
		{name: "a key in two cases", run: write(`{"schema":1,"Values":{"a":1},"values":{"a":2}}`), want: `key "values" stands twice`},
		{name: "a number beyond all floats", run: write(`{"schema":1,"values":{"a":1e999}}`), want: "number 1e999 does not fit"},
		{name: "a text for a number", run: write(`{"schema":1,"values":{"a":"1"}}`), want: "values: string does not fit"},
		{name: "null for a number", run: write(`{"schema":1,"values":{"a":null}}`), want: "value a is null"},
		{name: "null for an output", run: write(`{"schema":1,"outputs":{"a":null}}`), want: "output a is null"},
		{name: "deep nesting", run: write(`{"schema":1,"summary":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}"), want: "nested deeper than 16"},
		{name: "not UTF-8", run: `printf '{"schema":1,"summary":"caf\351"}' > "$UPKEEP_RESULT"`, want: "not UTF-8"},
		{name: "a long output", run: write(`{"schema":1,"outputs":{"a":"` + strings.Repeat("x", 4097) + `"}}`), want: "output a is longer"},
		{name: "too many values", run: write(`{"schema":1,"findings":[` + strings.Repeat(`{"id":"x","severity":"info","text":"t"},`, 1000) + `{"id":"x","severity":"info","text":"t"}]}`), want: "1001 entries"},
		{name: "a bad finding", run: write(`{"schema":1,"findings":[{"id":"Big X","severity":"info","text":"t"}]}`), want: `its id is "Big X"`},
		{name: "a finding without words", run: write(`{"schema":1,"findings":[{"id":"x","severity":"info","text":" "}]}`), want: "no text"},
		{name: "an event without a kind", run: write(`{"schema":1,"events":[{"kind":"","subject":"a","text":"t"}]}`), want: "event 1: it needs a kind"},
		{name: "an event about nothing", run: write(`{"schema":1,"events":[{"kind":"deploy","subject":" ","text":"t"}]}`), want: "event 1: it needs a kind"},
		{name: "an artifact without a path", run: write(`{"schema":1,"artifacts":[null]}`), want: "it has no path"},
		{name: "an artifact that is a folder", run: write(`{"schema":1,"artifacts":[{"name":"r","path":"/","bytes":1,"sha256":""}]}`), want: "not a regular file"},
		{name: "followed by more", run: write(`{"schema":1} {}`), want: "more follows"},
		{name: "an unknown key", run: write(`{"schema":1,"summery":"x"}`), want: `unknown field "summery"`},
		{name: "another schema", run: write(`{"schema":2}`), want: "its schema is 2"},
		{name: "no schema", run: write(`{}`), want: "its schema is 0"},
		{name: "not a number", run: write(`{"schema":1,"values":{"a":NaN}}`), want: "invalid character"},
		{name: "a bad name", run: write(`{"schema":1,"values":{"A b":1}}`), want: `value name "A b"`},
		{name: "a bad severity", run: write(`{"schema":1,"findings":[{"id":"x","severity":"bad","text":"t"}]}`), want: "not a severity"},
		{name: "no severity", run: write(`{"schema":1,"findings":[{"id":"x","text":"t"}]}`), want: "no severity"},
		{name: "too large", run: `head -c 2000000 /dev/zero > "$UPKEEP_RESULT"`, want: "larger than"},
		{name: "an artifact that is not there", run: write(`{"schema":1,"artifacts":[{"name":"r","path":"/nope","bytes":1,"sha256":""}]}`), want: "no such file"},
		{name: "an artifact with other bytes", run: "echo x >> " + artifact + ".copy; " + write(strings.Replace(proof, artifact, artifact+".copy", 1)), want: "has 2 bytes, not the 6"},
		{name: "an artifact with another hash", run: write(strings.Replace(proof, "sha256\":\"", "sha256\":\"0", 1)), want: "other bytes"},
		{name: "broke after writing", run: write(`{"schema":1,"summary":"fine"}`) + "exit 1", want: "exit status 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := run(t, func(o *script.Options) { o.Run, o.Result = shell(tt.run), "json" })
			if a.err == nil || !strings.Contains(a.err.Error(), tt.want) {
				t.Errorf("error %v does not contain %q", a.err, tt.want)
			}
		})
	}
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		a := run(t, func(o *script.Options) { o.Run, o.Result = shell(write(proof)), "json" })
		if a.err != nil || len(a.result.Artifacts) != 1 || a.result.Artifacts[0].Key != artifact || a.result.Artifacts[0].Bytes != 6 {
			t.Errorf("result %+v, err %v", a.result, a.err)
		}
	})
	t.Run("relative", func(t *testing.T) {
		t.Parallel()
		relative := strings.Replace(proof, artifact, filepath.Base(artifact), 1)
		a := run(t, func(o *script.Options) {
			o.Run, o.Result, o.Dir = shell(write(relative)), "json", unit.Path(filepath.Dir(artifact))
		})
		if a.err != nil || len(a.result.Artifacts) != 1 || a.result.Artifacts[0].Key != artifact {
			t.Errorf("result %+v, err %v", a.result, a.err)
		}
	})
}

func TestRun_JSONTaken(t *testing.T) {
	t.Parallel()
	measured := map[string]jobs.Result{
		`{"schema":1}`: {Summary: "0 values, 0 findings"},
		"\xef\xbb\xbf{\"schema\":1,\"summary\":\"marked\"}": {Summary: "marked"},
		`{"schema":1,"summary":"two\nlines.","values":{"a":-0.5e-3,"b":9007199254740993},"outputs":{"v":"5.2"},
			"findings":[{"id":"drift:x/y","severity":"critical","text":"far\u0000 off."}]}`: {
			Summary: "two lines", Values: map[string]float64{"a": -0.0005, "b": 9007199254740992}, Outputs: map[string]string{"v": "5.2"},
			Findings: []jobs.Finding{{ID: "drift:x/y", Severity: jobs.Critical, Text: "far off"}},
		},
		`{"schema":1,"summary":"s","events":[{"kind":"deploy","subject":"model\nchurn","text":"5.1 to 5.2."}]}`: {
			Summary: "s", Events: []jobs.Event{{Kind: "deploy", Subject: "model churn", Text: "5.1 to 5.2"}},
		},
		// The program's own word for what upkeep counts too.
		`{"schema":1,"summary":"s","values":{"exit_code":42}}`: {Summary: "s", Values: map[string]float64{"exit_code": 42}},
	}
	for text, want := range measured {
		a := run(t, func(o *script.Options) { o.Run, o.Result = shell(write(text)), "json" })
		maps.DeleteFunc(a.result.Values, func(k string, v float64) bool {
			return k == "cpu_seconds" || k == "max_rss_bytes" || k == "exit_code" && v == 0
		})
		if diff := cmp.Diff(want, a.result, cmpopts.EquateEmpty()); diff != "" || a.err != nil {
			t.Errorf("%s: error %v, result (-want +got):\n%s", text, a.err, diff)
		}
	}
}

func FuzzResult(f *testing.F) {
	for _, seed := range []string{`{"schema":1}`, `{"schema":1,"values":{"a":1},"outputs":{"b":"c"},"findings":[{"id":"x","severity":"info","text":"t"}]}`, `{"a":[{}],"A":null}`, `[]`, `{"`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := script.DecodeResult(text)
		if err != nil {
			return
		}
		jobstest.CheckResult(t, r)
	})
}
