package alerts

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/runner"
)

func TestLastLines(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("line\n", 30)
	tests := map[string]struct {
		output runner.Output
		want   []string
		cut    bool
	}{
		"nothing":               {},
		"one line":              {output: runner.Output{Head: []byte("a")}, want: []string{"a"}},
		"head and tail are one": {output: runner.Output{Head: []byte("a\nb"), Tail: []byte("c\nd\n")}, want: []string{"a", "bc", "d"}},
		"what was cut":          {output: runner.Output{Head: []byte("a\n"), Tail: []byte("half\nb\nc"), Cut: 9}, want: []string{"b", "c"}, cut: true},
		"one cut line":          {output: runner.Output{Tail: []byte("half"), Cut: 9}, want: []string{"half"}, cut: true},
		"too many":              {output: runner.Output{Head: []byte(many + "last\n\n")}, want: append(strings.Split(strings.TrimSpace(strings.Repeat("line\n", 19)), "\n"), "last"), cut: true},
		"a progress bar":        {output: runner.Output{Head: []byte("10 %\r50 %\r100 %\r\ndone\n")}, want: []string{"100 %", "done"}},
		"colors and titles":     {output: runner.Output{Head: []byte("\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b(By")}, want: []string{"red xy"}},
		"indentation stays":     {output: runner.Output{Head: []byte("a:\n\tb\n  c\n")}, want: []string{"a:", "    b", "  c"}},
		"control and bad UTF-8": {output: runner.Output{Head: []byte("a\x00b\xff\u202e")}, want: []string{"a b?"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, cut := lastLines(test.output, mostLines)
			if diff := cmp.Diff(test.want, got); diff != "" || cut != test.cut {
				t.Errorf("cut %v (-want +got):\n%s", cut, diff)
			}
		})
	}
}

func FuzzLastLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\x1b[0m"), []byte("tail"), int64(0))
	f.Add([]byte("\x1b]0;"), []byte("\xff\n"), int64(7))
	f.Fuzz(func(t *testing.T, head, tail []byte, cut int64) {
		lines, _ := lastLines(runner.Output{Head: head, Tail: tail, Cut: cut}, mostLines)
		if len(lines) > mostLines {
			t.Errorf("%d lines", len(lines))
		}
		for _, line := range lines {
			if !utf8.ValidString(line) || line == "" || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsGraphic(r) }) {
				t.Errorf("line %q", line)
			}
		}
	})
}
