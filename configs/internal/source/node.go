// Package source reads YAML files into a tree in which every value knows where
// it stands. It is the only place of upkeep that sees the YAML library. It
// resolves anchors and merge keys and refuses what could be misread: repeated
// keys, several documents, tags, cyclic or exploding aliases, foreign
// encodings. It knows nothing about what the values mean.
package source

import (
	"strings"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/configs/internal/problem"
)

// File is one configuration file: its name for messages, and its lines.
type File struct {
	Name  string
	Lines []string
}

// Pos is a place in a file. Line and Col count from 1, columns in characters.
type Pos struct {
	File      *File
	Line, Col int
}

// Kind is what a Node is.
type Kind int

// The kinds of nodes.
const (
	Null Kind = iota
	Scalar
	List
	Map
)

// Node is one value of a file. Nodes are shared by aliases and never change.
type Node struct {
	Kind Kind
	// Text is the value of a scalar, unquoted. Plain tells that it stood
	// without quotes, so that it may be a number or a truth value.
	Text  string
	Plain bool
	// Items are the elements of a list.
	Items []*Node
	// Entries are the keys and values of a map in the order of the file.
	Entries []Entry
	Pos     Pos

	weight int
}

// Entry is one key of a map.
type Entry struct {
	Key   string
	At    Pos
	Value *Node
}

// Get returns the entry of that key.
func (n *Node) Get(key string) (Entry, bool) {
	if n == nil {
		return Entry{}, false
	}
	for _, e := range n.Entries {
		if e.Key == key {
			return e, true
		}
	}
	return Entry{}, false
}

// Keys returns the keys of a map in the order of the file.
func (n *Node) Keys() []string {
	if n == nil {
		return nil
	}
	keys := make([]string, len(n.Entries))
	for i, e := range n.Entries {
		keys[i] = e.Key
	}
	return keys
}

// Find follows a path such as "limits.memory" or "match[1]" from n and returns
// the place of the value it leads to. Keys may contain dots. When the path
// leads nowhere it returns the place of the deepest key on the way, and found
// is false; when not even the first part exists, ok is false.
func (n *Node) Find(path string) (at Pos, found, ok bool) {
	for path != "" {
		next, rest, where, hit := n.step(path)
		if !hit {
			return at, false, ok
		}
		n, path, at, ok = next, rest, where, true
		if n.Kind != Null {
			at = n.Pos
		}
	}
	return at, ok, ok
}

// step follows the first part of path. where is the place of the key.
func (n *Node) step(path string) (next *Node, rest string, where Pos, hit bool) {
	if n == nil {
		return nil, "", Pos{}, false
	}
	if index, after, isIndex := cutIndex(path); isIndex {
		if n.Kind == List && index < len(n.Items) {
			return n.Items[index], after, n.Items[index].Pos, true
		}
		return nil, "", Pos{}, false
	}
	// The longest key that fits wins, because keys may contain dots.
	best := -1
	for i, e := range n.Entries {
		after, fits := strings.CutPrefix(path, e.Key)
		if !fits || after != "" && after[0] != '.' && after[0] != '[' {
			continue
		}
		if best < 0 || len(e.Key) > len(n.Entries[best].Key) {
			best = i
		}
	}
	if best < 0 {
		return nil, "", Pos{}, false
	}
	e := n.Entries[best]
	return e.Value, strings.TrimPrefix(path[len(e.Key):], "."), e.At, true
}

// cutIndex reads "[3]" at the beginning of path.
func cutIndex(path string) (index int, rest string, ok bool) {
	digits, rest, closed := strings.Cut(strings.TrimPrefix(path, "["), "]")
	if !strings.HasPrefix(path, "[") || !closed || digits == "" || len(digits) > 6 {
		return 0, "", false
	}
	for _, r := range digits {
		if r < '0' || r > '9' {
			return 0, "", false
		}
		index = index*10 + int(r-'0')
	}
	return index, strings.TrimPrefix(rest, "."), true
}

// Problem makes a problem at this place.
func (p Pos) Problem(s problem.Severity, rule, path, message, hint string) problem.Problem {
	out := problem.Problem{Rule: rule, Severity: s, Path: path, Message: message, Hint: hint}
	if p.File == nil {
		return out
	}
	out.File, out.Line, out.Col = p.File.Name, p.Line, p.Col
	if p.Line >= 1 && p.Line <= len(p.File.Lines) {
		out.Source = p.File.Lines[p.Line-1]
	}
	return out
}

// Seek returns the place of text in the same line at or after p, or p itself
// when the line does not show it.
func (p Pos) Seek(text string) Pos {
	if p.File == nil || p.Line < 1 || p.Line > len(p.File.Lines) || p.Col < 1 {
		return p
	}
	line := p.File.Lines[p.Line-1]
	skipped := 0
	for range p.Col - 1 {
		_, size := utf8.DecodeRuneInString(line[skipped:])
		skipped += size
	}
	before, _, found := strings.Cut(line[skipped:], text)
	if !found {
		return p
	}
	p.Col += utf8.RuneCountInString(before)
	return p
}

// Search returns the first scalar below n with that text, or nil.
func (n *Node) Search(text string) *Node {
	if n == nil {
		return nil
	}
	if n.Kind == Scalar && n.Text == text {
		return n
	}
	for _, item := range n.Items {
		if found := item.Search(text); found != nil {
			return found
		}
	}
	for _, e := range n.Entries {
		if found := e.Value.Search(text); found != nil {
			return found
		}
	}
	return nil
}
