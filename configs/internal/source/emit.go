package source

import (
	"fmt"
	"strings"
	"unicode"
)

// Text writes n as YAML with aliases and merge keys put in place and without
// comments. The same values give the same text in every version, so that a
// digest of it tells whether something changed; Read gives back equal values.
func Text(n *Node) string {
	var b strings.Builder
	emit(&b, n, 0)
	return b.String()
}

// emit writes n as a block that begins on a new line.
func emit(b *strings.Builder, n *Node, indent int) {
	pad := strings.Repeat("  ", indent)
	switch {
	case n.Kind == Map && len(n.Entries) > 0:
		for _, e := range n.Entries {
			b.WriteString(pad + keyText(e.Key) + ":")
			emitValue(b, e.Value, indent)
		}
	case n.Kind == List && len(n.Items) > 0:
		for _, item := range n.Items {
			// What an item consists of begins beside its dash.
			var block strings.Builder
			emit(&block, item, indent+1)
			b.WriteString(pad + "- " + strings.TrimLeft(block.String(), " "))
		}
	default:
		b.WriteString(pad + inline(n, indent) + "\n")
	}
}

// emitValue writes n after a key or a dash.
func emitValue(b *strings.Builder, n *Node, indent int) {
	if n.Kind == Map && len(n.Entries) > 0 || n.Kind == List && len(n.Items) > 0 {
		b.WriteByte('\n')
		emit(b, n, indent+1)
		return
	}
	b.WriteString(" " + inline(n, indent) + "\n")
}

func inline(n *Node, indent int) string {
	switch n.Kind {
	case Map:
		return "{}"
	case List:
		return "[]"
	case Null:
		return "null"
	default:
		return scalarText(n.Text, n.Plain, indent)
	}
}

// keyText writes a key. Keys have no type, so only what would not be read back
// as the same word needs quotes.
func keyText(text string) string {
	switch text {
	case "null", "Null", "NULL", "~":
		return quote(text)
	}
	if simple(text) {
		return text
	}
	return quote(text)
}

// scalarText writes a scalar plain when it stood plain and is a simple word, as
// a literal block when it has several simple lines, and else in double quotes.
func scalarText(text string, plain bool, indent int) string {
	if plain && simple(text) {
		return text
	}
	body, ok := strings.CutSuffix(text, "\n")
	if !ok || !literal(body) {
		return quote(text)
	}
	var b strings.Builder
	b.WriteByte('|')
	for line := range strings.SplitSeq(body, "\n") {
		b.WriteByte('\n')
		if line != "" {
			b.WriteString(strings.Repeat("  ", indent+1) + line)
		}
	}
	return b.String()
}

// simple tells whether text is a word that needs no quotes anywhere. Numbers,
// truth values and nulls are such words, so plain ones stay what they are.
func simple(text string) bool {
	digits := strings.TrimLeft(text, "-.")
	if digits == "" || len(text)-len(digits) > 1 || len(text) > len(digits) && (digits[0] < '0' || digits[0] > '9') {
		return false // what begins with a dash or a dot must be a number
	}
	for i, r := range digits {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '/'
		if !letter && (i == 0 || !strings.ContainsRune("-+.", r)) {
			return false
		}
	}
	return true
}

// literal tells whether body, which a line end follows, can be a literal block.
func literal(body string) bool {
	if !strings.Contains(body, "\n") || body[0] == ' ' || body[0] == '\n' || body[len(body)-1] == '\n' {
		return false
	}
	for _, r := range body {
		if r != '\n' && !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// quote writes text in double quotes. What does not print is escaped.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
