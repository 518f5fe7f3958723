package pgreview_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/jobs/pgreview"
)

func TestWithoutValues(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT *\n  FROM t WHERE a = 'secret' AND b=12.5e3":       "SELECT * FROM t WHERE a = ? AND b=?",
		"SELECT $1, t1.c2 FROM t1":                                 "SELECT $1, t1.c2 FROM t1",
		"SELECT a -- 'secret'\nFROM t /* secret /* more */ x */ c": "SELECT a FROM t c",
		`SELECT E'it\'s secret', 'it''s secret', b FROM t`:         "SELECT ?, …, b FROM t",
		"SELECT $tag$secret $x$ secret$tag$ || x'ff' || U&'a'":     "SELECT ? || ? || U&?",
		`SELECT "Odd 'name' 5" FROM "t"`:                           `SELECT "Odd 'name' 5" FROM "t"`,
		"INSERT INTO t VALUES ($1, $2, $3), ($4)":                  "INSERT INTO t VALUES ($1, …), ($4)",
		"SELECT 1 WHERE x IN (1, 2, 3, 4)":                         "SELECT ? WHERE x IN (?, …)",
		"ALTER ROLE app PASSWORD 'secret'":                         "ALTER ROLE app …",
		"SELECT 'unterminated secret":                              "SELECT ?",
		"SELECT $x$ unterminated secret":                           "SELECT ?",
		"SELECT /* secret":                                         "SELECT",
		"SELECT e'secret' , case'secret'":                          "SELECT ? , case?",
		"":                                                         "",
	} {
		if got := pgreview.WithoutValues(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := pgreview.WithoutValues("SELECT " + strings.Repeat("column_ü, ", 100)); utf8.RuneCountInString(got) != 160 {
		t.Errorf("%d characters: %s", utf8.RuneCountInString(got), got)
	}
}

// FuzzWithoutValues: what stands in a literal never shows, whatever surrounds
// it.
func FuzzWithoutValues(f *testing.F) {
	f.Add("SELECT ", "a", " FROM t")
	f.Add("", `it''s \ $x$ -- /* `, "'")
	f.Add(`SELECT "a`, "q", `"`)
	f.Fuzz(func(t *testing.T, before, value, after string) {
		pgreview.WithoutValues(before + value + after)
		// The text in front must not open anything itself.
		if strings.ContainsAny(before, `'"$-/`) || strings.HasSuffix(strings.ToLower(before), "e") || !utf8.ValidString(before) {
			return
		}
		const planted = "Zq7Xplanted"
		literal := "'" + planted + strings.ReplaceAll(value, "'", "''") + planted + "'"
		got := pgreview.WithoutValues(before + " " + literal + " " + after)
		if strings.Contains(got, planted) && !strings.Contains(after, planted) && !strings.Contains(before, planted) {
			t.Errorf("%q shows in %q", literal, got)
		}
	})
}
