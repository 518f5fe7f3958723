package source_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/configs/internal/source"
)

// plainTree renders a node without positions, so that trees can be compared.
func plainTree(n *source.Node) any {
	switch n.Kind {
	case source.Map:
		out := [][2]any{}
		for _, e := range n.Entries {
			out = append(out, [2]any{e.Key, plainTree(e.Value)})
		}
		return out
	case source.List:
		out := []any{}
		for _, item := range n.Items {
			out = append(out, plainTree(item))
		}
		return out
	case source.Scalar:
		if n.Plain && typed.MatchString(n.Text) {
			return "plain " + n.Text
		}
		return "text " + n.Text
	default:
		return nil
	}
}

// typed matches the plain scalars that are numbers or truth values to us.
var typed = regexp.MustCompile(`^(true|false|-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?)$`)

func read(t *testing.T, text string) *source.Node {
	t.Helper()
	_, root, problems := source.Read("t.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatalf("Read(%q):\n%v", text, problems)
	}
	return root
}

func TestRead_KeepsTextOfScalars(t *testing.T) {
	t.Parallel()
	root := read(t, "a: 012\nb: 1.0\nc: 'yes'\nd: !!str 5\ne: ~\nf: |\n  x\n  y\n")
	want := [][2]any{
		{"a", "plain 012"},
		{"b", "plain 1.0"},
		{"c", "text yes"},
		{"d", "text 5"},
		{"e", nil},
		{"f", "text x\ny\n"},
	}
	if diff := cmp.Diff(any(want), plainTree(root)); diff != "" {
		t.Error(diff)
	}
}

func TestRead_MergeKeys(t *testing.T) {
	t.Parallel()
	root := read(t, "x: &x {p: 1, q: 2}\ny: &y {q: 3, r: 4}\nz:\n  <<: [*x, *y]\n  p: own\n")
	z, _ := root.Get("z")
	want := [][2]any{{"q", "plain 2"}, {"r", "plain 4"}, {"p", "text own"}}
	if diff := cmp.Diff(any(want), plainTree(z.Value)); diff != "" {
		t.Error(diff)
	}
	if z.Value.Entries[0].At.Line != 1 {
		t.Errorf("a merged key points to line %d, want the line where it stands", z.Value.Entries[0].At.Line)
	}
}

func TestRead_Refuses(t *testing.T) {
	t.Parallel()
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	for name, tc := range map[string]struct{ text, want string }{
		"tab":            {"a:\n\tb: 1\n", "t.yaml:2:1: a tab cannot indent a line in YAML"},
		"twoDocuments":   {"a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document begins here"},
		"invalidUTF8":    {"a: 1\nb: x\xffy\n", "t.yaml:2:5: byte 0xff is not valid UTF-8"},
		"utf16":          {"a\x00:\x00 \x001\x00", "t.yaml: the file is encoded as UTF-16 or UTF-32"},
		"nul":            {"a: x\x00\n", "t.yaml:1:5: the control character U+0000"},
		"nextLine":       {"a: x\u0085b: 1\n", "t.yaml:1:5: the control character U+0085"},
		"duplicate":      {"a: 1\nb: 2\na: 3\n", `t.yaml:3:1: the key "a" is given twice; the first one stands in line 1`},
		"duplicateInMap": {"a: {b: 1, b: 2}\n", `t.yaml:1:11: the key "b" is given twice`},
		"bomb":           {bomb, "the aliases below expand to more than"},
		"cycle":          {"a: &a [*a]\n", "t.yaml:1:8: the alias *a stands inside the value that it names"},
		"mergeOfText":    {"a: &a x\nb:\n  <<: *a\n", "t.yaml:3:7: a merge key takes a map"},
		"customTag":      {"a: !secret x\n", "t.yaml:1:4: the tag !secret is not supported"},
		"binaryTag":      {"a: !!binary aGk=\n", "the tag !!binary is not supported"},
		"listAsKey":      {"? [a]\n: 1\n", "t.yaml:1:3: a key must be a word"},
		"deep":           {strings.Repeat("[", 80) + strings.Repeat("]", 80), "nests deeper than 64 levels"},
		"bottomless":     {strings.Repeat("[", 100_000), "not valid YAML"},
		"unclosedQuote":  {"a: 1\nb: 'x\nc: 2\n", "t.yaml:2:4: not valid YAML: found unexpected end of stream while scanning a quoted scalar"},
		"colon":          {"a: b: c\n", `t.yaml:1:5: a ": " cannot stand here`},
		"atSign":         {"a: @x\n", `t.yaml:1:4: a value cannot begin with '@'`},
		"unknownAnchor":  {"a: *x\n", "t.yaml:1:4: unknown anchor 'x' referenced"},
		"large":          {strings.Repeat("#", source.MaxBytes+1), "t.yaml: the file has 8388609 bytes"},
		"longKey":        {"? " + strings.Repeat("k", 600) + "\n: 1\n", "the key is longer than 512 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, root, problems := source.Read("t.yaml", []byte(tc.text))
			if root != nil || !strings.Contains(problems.Error(), tc.want) {
				t.Errorf("got node %v and\n%v\nwant %q", root != nil, problems, tc.want)
			}
		})
	}
}

func TestRead_AllDuplicatesAtOnce(t *testing.T) {
	t.Parallel()
	_, _, problems := source.Read("t.yaml", []byte("a: 1\na: 2\nb: {c: 1, c: 2, c: 3}\n"))
	if len(problems) != 3 {
		t.Errorf("got %d problems, want 3:\n%v", len(problems), problems)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	root := read(t, "limits:\n  memory: 1\nmatch: [a, b]\nenv: {A.B: x}\n")
	for path, want := range map[string]string{
		"limits.memory":  "2:11 true true",
		"match[1]":       "3:12 true true",
		"env.A.B":        "4:12 true true",
		"limits.missing": "2:3 false true",
		"missing":        "0:0 false false",
		"match[9]":       "3:8 false true",
	} {
		at, found, ok := root.Find(path)
		if got := fmt.Sprintf("%d:%d %v %v", at.Line, at.Col, found, ok); got != want {
			t.Errorf("Find(%q) = %s, want %s", path, got, want)
		}
	}
}

func TestText_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		root := node(t, 3)
		text := source.Text(root)
		_, again, problems := source.Read("again", []byte(text))
		if len(problems) > 0 {
			t.Fatalf("Text wrote\n%s\nwhich does not read:\n%v", text, problems)
		}
		if diff := cmp.Diff(plainTree(root), plainTree(again)); diff != "" {
			t.Fatalf("%s\n%s", text, diff)
		}
		if twice := source.Text(again); twice != text {
			t.Fatalf("writing again gave\n%s\nafter\n%s", twice, text)
		}
	})
}

func word() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"a", "null", "~", "true", "-", "---", "...", "<<", "#x", "a: b", " a", "a ", "", "'", `"`, "1", "[", "{}", "a\nb\n",
			"x\n\n\ny\n", " x\ny\n", "%a", "@", "&a", "*a", "!t", "|", ">", "? a", "- a", "é", "😀", "a\tb", "\x7f", "a\n", "\n", "a\r\nb\n", "x\\", "0x1f", ".inf",
		}),
		rapid.StringOfN(rapid.Rune(), 0, 20, -1),
	)
}

func node(t *rapid.T, depth int) *source.Node {
	kinds := 2
	if depth > 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 1:
		if rapid.Bool().Draw(t, "null") {
			return &source.Node{Kind: source.Null}
		}
		return &source.Node{Kind: source.Scalar, Plain: true, Text: rapid.SampledFrom([]string{"1", "-2.5", "true", "false", "012", "word", "/var/log", "a-b"}).Draw(t, "plain")}
	case 2:
		out := &source.Node{Kind: source.List}
		for range rapid.IntRange(0, 4).Draw(t, "items") {
			out.Items = append(out.Items, node(t, depth-1))
		}
		return out
	case 3:
		out := &source.Node{Kind: source.Map}
		for _, key := range rapid.SliceOfNDistinct(word(), 0, 4, rapid.ID).Draw(t, "keys") {
			out.Entries = append(out.Entries, source.Entry{Key: key, Value: node(t, depth-1)})
		}
		return out
	default:
		return &source.Node{Kind: source.Scalar, Text: word().Draw(t, "text")}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"a: 1\n", "a: &x [1]\nb: *x\n", "a:\n  <<: {b: 1}\n", "\ta", "a: 'x", "? a\n: b\n", "%YAML 1.2\n---\n", "a: |\n  x\n", "é: [ü,\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, root, problems := source.Read("f", text)
		for _, p := range problems {
			if p.Line == 0 {
				continue
			}
			if p.Line > len(file.Lines) || p.Col < 1 || p.Col > utf8.RuneCountInString(file.Lines[p.Line-1])+1 {
				t.Errorf("position %s lies outside the file", p.Position())
			}
		}
		if root == nil {
			return
		}
		_, again, problems := source.Read("again", []byte(source.Text(root)))
		if len(problems) > 0 && !strings.Contains(problems.Error(), "has ") {
			t.Fatalf("%q became\n%s\nwhich does not read:\n%v", text, source.Text(root), problems)
		}
		if again != nil {
			if diff := cmp.Diff(plainTree(root), plainTree(again)); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}
