package decode_test

import (
	"fmt"
	"strings"
	"testing"
)

// proof is a group of keys that may be one word.
type proof struct {
	Each   string `yaml:"each" enum:"a,b"`
	Weekly string `yaml:"weekly" enum:"a,b,c"`
}

func (p *proof) UnmarshalText(text []byte) error { *p = proof{Each: string(text)}; return nil }
func (*proof) Shorthand()                        {}

func TestShorthand(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"verify: b":                       "{b }",
		"verify: {weekly: c}":             "{a c}",
		"verify: {each: b, weekly: c}":    "{b c}",
		"verify: c":                       `"c" is not a value of verify`,
		"verify: {each: c}":               `"c" is not a value of each`,
		"verify: {yearly: c}":             `unknown key "yearly" in verify`,
		"verify: [a]":                     "verify must be a single value",
		"verify:":                         "verify has no value",
		"verify: {weekly: [c]}":           "weekly must be a single value",
		"verify: {each: \"${env:EACH}\"}": "{b }",
	} {
		var into struct {
			Verify proof `yaml:"verify" enum:"a,b"`
		}
		into.Verify.Each = "a"
		d := run(t, text, &into, map[string]string{"EACH": "b"})
		if got := fmt.Sprintf("%v", into.Verify) + fmt.Sprint(d.Problems); !strings.Contains(got, want) || strings.HasPrefix(want, "{") != (len(d.Problems) == 0) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
