package decode_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/expand"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
)

type shared struct {
	Store unit.Names `yaml:"store" required:"true"`
	Keep  struct {
		Daily int `yaml:"daily"`
	} `yaml:"keep"`
}

type key string

func (k *key) UnmarshalText(text []byte) error {
	if strings.Contains(string(text), "!") {
		return fmt.Errorf("%q is no key", text)
	}
	*k = key(strings.ToUpper(string(text)))
	return nil
}

type options struct {
	shared     `yaml:",inline"`
	Count      uint16                   `yaml:"count"`
	Ratio      *float64                 `yaml:"ratio"`
	Limit      *unit.Size               `yaml:"limit"`
	Codes      []int                    `yaml:"codes"`
	Words      []string                 `yaml:"words" enum:"a,b"`
	Deep       map[string][]*shared     `yaml:"deep"`
	Keys       map[key]int              `yaml:"keys"`
	Env        map[string]secret.String `yaml:"env"`
	Untagged   string
	Ignored    string   `yaml:"-"`
	Bound      int      `yaml:"bound" range:"1,5"`
	Fixed      string   `yaml:"fixed" fixed:"true"`
	Future     string   `yaml:"future" later:"things to come"`
	Preset     []string `yaml:"preset"`
	unexported int      //nolint:unused // it must not be taken for a key
}

func run(t *testing.T, text string, into any, env map[string]string) *decode.Decoder {
	t.Helper()
	_, root, problems := source.Read("t.yaml", []byte(text))
	if root == nil {
		t.Fatalf("%v", problems)
	}
	d := &decode.Decoder{Resolver: &expand.Resolver{Getenv: func(name string) (string, bool) {
		text, ok := env[name]
		return text, ok
	}}}
	d.Decode(root, into, "", source.Pos{})
	return d
}

func TestDecode(t *testing.T) {
	t.Parallel()
	got := options{Preset: []string{"kept", "kept"}}
	got.Keep.Daily = 7
	d := run(t, `
store: [a, b]
count: 7
ratio: 1.5e3
limit: 1KiB
codes: [1, -2]
words: [b, a]
deep: {x: [{store: y, keep: {daily: 1}}, {store: z}]}
keys: {one: 1}
untagged: 012
preset: [new]
env: {A: "${env:A}", B: plain, NULL_TOKEN: ""}
bound: 5
`, &got, map[string]string{"A": "value"})
	if len(d.Problems) > 0 {
		t.Fatal(d.Problems)
	}
	ratio, limit := 1500.0, unit.Size(1024)
	want := options{
		shared: shared{Store: unit.Names{"a", "b"}}, Count: 7, Ratio: &ratio, Limit: &limit, Codes: []int{1, -2}, Words: []string{"b", "a"},
		Deep: map[string][]*shared{"x": {{Store: unit.Names{"y"}}, {Store: unit.Names{"z"}}}}, Keys: map[key]int{"ONE": 1}, Untagged: "012",
		Env: map[string]secret.String{"A": secret.New("value"), "B": secret.New("plain"), "NULL_TOKEN": {}}, Bound: 5, Preset: []string{"new"},
	}
	want.Keep.Daily = 7
	want.Deep["x"][0].Keep.Daily = 1
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{}, shared{}), cmp.Comparer(func(a, b secret.String) bool { return a.Reveal() == b.Reveal() })); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"value", "value"}, d.Secrets); diff != "" {
		t.Errorf("secrets: %s", diff)
	}
}

func TestDecode_Problems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"count: 70000\nstore: x":               "count must be a whole number of at least 0",
		"count: -1\nstore: x":                  "count must be a whole number of at least 0",
		"words: [a, c]\nstore: x":              `t.yaml:1:12: "c" is not a value of words[1]`,
		"words: [a, null]\nstore: x":           "words[1] has no value",
		"keys: {a!: 1}\nstore: x":              `"a!" is no key`,
		"keys: [a]\nstore: x":                  "keys must be a map",
		"deep: {x: [{keep: 1}]}\nstore: x":     "keep must be a group of keys",
		"deep: {x: [{}]}\nstore: x":            `x[0] lacks the key "store"`,
		"Ignored: x\nstore: x":                 `unknown key "Ignored"`,
		"unexported: x\nstore: x":              `unknown key "unexported"`,
		"bound: 6\nstore: x":                   "bound must lie between 1 and 5",
		"fixed: ${env:A}\nstore: x":            "${env:A} cannot stand here: fixed must be written out",
		"future: x\nstore: x":                  "future is not available in this version of upkeep",
		"count: 1":                             `the configuration lacks the key "store"`,
		"- a":                                  "the configuration must be a group of keys",
		"store: {a: b}":                        "store must be a list",
		"store: [[a]]":                         "store[0] must be a single value",
		"store:":                               "store has no value",
		"store: x\nkeep: {dayly: 1}":           `unknown key "dayly" in keep`,
		"store: x\nratio: .inf":                "ratio must be a number",
		"store: x\nratio: 1e999":               "the number is too large",
		"store: x\ncodes: [1, \"2\", 03]":      "write it without quotes",
		"store: x\nuntagged: ${env:A}${env:B}": "the environment variable B is not set",
	} {
		var o options
		d := run(t, text, &o, map[string]string{"A": "a"})
		if !strings.Contains(d.Problems.Error(), want) {
			t.Errorf("%q: got\n%v\nwant %s", text, d.Problems, want)
		}
	}
}

func TestAbsolute(t *testing.T) {
	t.Parallel()
	type inner struct{ P unit.Path }
	v := struct {
		P       unit.Path
		Empty   unit.Path
		Abs     unit.Path
		List    []unit.Path
		Map     map[string]inner
		Pointer *inner
		Nil     *inner
		Any     any
		Text    string
	}{P: "a/../b", Abs: "/x", List: []unit.Path{"c"}, Map: map[string]inner{"k": {"d"}}, Pointer: &inner{"e"}, Any: &inner{"f"}, Text: "g"}
	decode.Absolute(&v, "/root")
	if v.P != "/root/b" || v.Empty != "" || v.Abs != "/x" || v.List[0] != "/root/c" || v.Map["k"].P != "/root/d" || v.Pointer.P != "/root/e" || v.Text != "g" {
		t.Errorf("got %+v", v)
	}
	if p, ok := v.Any.(*inner); !ok || p.P != "/root/f" {
		t.Errorf("got %+v", v.Any)
	}
}
