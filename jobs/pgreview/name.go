package pgreview

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
	"unicode"

	"github.com/ghosteam/upkeep/jobs"
)

// findingID makes the id of a finding of a check about an object. A name that
// the form of ids changes gets a digest, so that two such names stay two.
func findingID(check, object string) string {
	const longest = 200
	plain := jobs.FindingIDFrom(object)
	if plain == object && len(plain) <= longest {
		return check + ":" + plain
	}
	h := fnv.New32a()
	// A hash takes every write.
	_, _ = h.Write([]byte(object))
	return fmt.Sprintf("%s:%s-%08x", check, plain[:min(len(plain), longest)], h.Sum32())
}

// sqlName writes the parts of a name, such as a schema and a table, for a
// statement: quoted where needed, on one line whatever they hold
// (postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS-UESCAPE).
func sqlName(parts ...string) string {
	quoted := make([]string, len(parts))
	for i, part := range parts {
		quoted[i] = quoteName(part)
	}
	return strings.Join(quoted, ".")
}

func quoteName(name string) string {
	if isGraphic(name) {
		return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	var out strings.Builder
	out.WriteString(`U&"`)
	for _, c := range name {
		switch {
		case c == '"' || c == '\\':
			out.WriteRune(c)
			out.WriteRune(c)
		case unicode.IsGraphic(c):
			out.WriteRune(c)
		default:
			fmt.Fprintf(&out, `\+%06X`, c)
		}
	}
	return out.String() + `"`
}

func isGraphic(text string) bool {
	return strings.IndexFunc(text, func(c rune) bool { return !unicode.IsGraphic(c) }) < 0
}

// dotted names an object for people and ids.
func dotted(parts ...string) string { return strings.Join(parts, ".") }

func joined(parts []string) string { return strings.Join(parts, ", ") }

// notNull is a predicate that only leaves out NULL, which no foreign key looks
// for.
var notNull = regexp.MustCompile(`^\(?(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*) IS NOT NULL\)?$`)

func isNotNullOnly(predicate string) bool { return notNull.MatchString(predicate) }

// literal writes a text for a statement, on one line whatever it holds.
func literal(text string) string {
	var out strings.Builder
	out.WriteString("E'")
	for _, c := range text {
		switch {
		case c == '\'' || c == '\\':
			out.WriteString(`\` + string(c))
		case unicode.IsGraphic(c):
			out.WriteRune(c)
		default:
			fmt.Fprintf(&out, `\U%08X`, c)
		}
	}
	return out.String() + "'"
}
