package expand_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/internal/expand"
)

// shape writes parts so that they can be compared.
func shape(parts []expand.Part) []string {
	var out []string
	for _, p := range parts {
		if p.Ref == nil {
			out = append(out, p.Text)
			continue
		}
		text := "<" + string(p.Ref.Scheme) + " " + p.Ref.Name
		if p.Ref.HasDefault {
			text += "|" + p.Ref.Default
		}
		out = append(out, text+">")
	}
	return out
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                              {""},
		"plain":                         {"plain"},
		"${env:HOME}":                   {"<env HOME>"},
		"a${env:X}b${file:/k}c":         {"a", "<env X>", "b", "<file /k>", "c"},
		"${env:X:-}":                    {"<env X|>"},
		"${env:X:-a:-b $y}":             {"<env X|a:-b $y>"},
		"${param:tag-1}":                {"<param tag-1>"},
		"$${env:X}":                     {"${env:X}"},
		"$$${env:X}":                    {"$${env:X}"},
		"x$${file:a}${env:B}":           {"x${file:a}", "<env B>"},
		"$$ $5 ${HOME} ${x:-y} $(pwd)":  {"$$ $5 ${HOME} ${x:-y} $(pwd)"},
		"$":                             {"$"},
		"${":                            {"${"},
		"${env":                         {"${env"},
		"${file:C:\\x y}":               {"<file C:\\x y>"},
		"100%$":                         {"100%$"},
		"${env:A}${env:B}":              {"<env A>", "<env B>"},
		"kill $$ && echo $${param:tag}": {"kill $$ && echo ${param:tag}"},
	} {
		parts, err := expand.Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, shape(parts)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	for _, text := range []string{"${env:", "${env:}", "${env:A-B}", "${env:1A}", "${env:A:default}", "${file:}", "${param:A}", "${param:x:-y}", "${env:A:-${env:B}}", "x ${env:A\n}"} {
		if parts, err := expand.Parse(text); err == nil {
			t.Errorf("%q was read as %v", text, shape(parts))
		}
	}
}

func TestSuspect(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"${evn:X}": true, "${ENV:X}": true, "${files:x}": true, "${parm:x}": true, "a ${Env:X}": true,
		"${env:X}": false, "$${evn:X}": false, "${HOME}": false, "${x:-y}": false, "${str:0:2}": false, "${name:?unset}": false, "${a:b}": false, "${secret:x}": false,
	} {
		if got := expand.Suspect(text) != nil; got != want {
			t.Errorf("Suspect(%q) = %v", text, got)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	r := &expand.Resolver{
		Getenv: func(name string) (string, bool) {
			text, ok := map[string]string{"A": "a", "EMPTY": "", "DB_PASSWORD": "p", "URL": "redis://:p@h", "HOME": "/h"}[name]
			return text, ok
		},
		ReadFile: func(path string) ([]byte, error) {
			switch path {
			case "/root/key":
				return []byte("k\n\n"), nil
			case "/root/closed":
				return nil, fs.ErrPermission
			}
			return nil, os.ErrNotExist
		},
		Root:   "/root",
		Params: map[string]expand.Argument{"tag": {Text: "t", Known: true}, "later": {}},
	}
	for text, want := range map[string]expand.Value{
		"${env:A}":             {Text: "a"},
		"${env:A:-d}":          {Text: "a"},
		"${env:EMPTY}":         {},
		"${env:EMPTY:-d}":      {Text: "d", Public: true},
		"${env:NONE:-d}":       {Text: "d", Public: true},
		"${env:DB_PASSWORD}":   {Text: "p", Secret: true},
		"${env:URL}":           {Text: "redis://:p@h", Secret: true},
		"${env:HOME}":          {Text: "/h", Public: true},
		"${file:key}":          {Text: "k\n", Secret: true},
		"${file:/root/key}":    {Text: "k\n", Secret: true},
		"${param:tag}":         {Text: "t", Public: true},
		"${param:later}":       {Deferred: true, Public: true},
		"${env:NONE}":          {},
		"${file:none}":         {},
		"${file:closed}":       {},
		"${param:none}":        {},
		"${file:../root/none}": {},
	} {
		parts, err := expand.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Resolve(*parts[0].Ref)
		if wrong := strings.Contains(text, "none") || text == "${env:NONE}" || strings.Contains(text, "closed"); wrong != (err != nil) {
			t.Errorf("%s: %v", text, err)
		}
		if fault, ok := errors.AsType[*expand.Fault](err); err != nil && (!ok || fault.At != text || fault.Why == "") {
			t.Errorf("%s: fault %+v", text, fault)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	late := &expand.Resolver{Late: true, Params: r.Params}
	forbidden := &expand.Resolver{Forbid: "because"}
	for _, text := range []string{"${env:A}", "${file:key}"} {
		parts, err := expand.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := late.Resolve(*parts[0].Ref); err != nil || !got.Deferred {
			t.Errorf("late %s: %+v, %v", text, got, err)
		}
		if _, err := forbidden.Resolve(*parts[0].Ref); err == nil || !strings.Contains(err.Error(), "because") {
			t.Errorf("forbidden %s: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"${env:A}", "$${env:A}", "a${file:b}c", "${env:A:-x}", "$$$", "${env:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if found := expand.Suspect(text); found != nil && !strings.Contains(text, found.At) {
			t.Fatalf("%q is not in %q", found.At, text)
		}
		parts, err := expand.Parse(text)
		if err != nil {
			return
		}
		var back strings.Builder
		for _, p := range parts {
			if p.Ref != nil {
				back.WriteString(p.Ref.Text)
			} else {
				back.WriteString(p.Text)
			}
		}
		// Only the escape takes something away: one dollar sign each.
		if missing := len(text) - back.Len(); missing < 0 || missing > strings.Count(text, "$${") {
			t.Fatalf("%q became %q", text, back.String())
		}
	})
}
