package pgbackup_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/jobs/pgbackup"
)

func TestScript(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3<<20)
	for name, tt := range map[string]struct {
		text    string
		want    map[[2]string]int64
		objects int64
		fails   bool
	}{
		"empty": {"", map[[2]string]int64{}, 0, false},
		"plain": {
			"--\n-- comment; with 'quotes\n--\n\\restrict abc\nSET x = 'a;b';\n\nCOPY public.t (a, b) FROM stdin;\n1\t2\n\\\\.\n\\.\n\n\nSELECT pg_catalog.setval('public.s', 1, true);\n\\unrestrict abc\n",
			map[[2]string]int64{{"public", "t"}: 2},
			0, false,
		},
		"quoted":          {"COPY \"a \"\"b.\".\"c\n.d;\nCOPY x.y FROM stdin;\" (\"e f\") FROM stdin;\n\\.\n", map[[2]string]int64{{`a "b.`, "c\n.d;\nCOPY x.y FROM stdin;"}: 0}, 0, false},
		"no columns":      {"COPY public.t  FROM stdin;\n\n\n\\.\n", map[[2]string]int64{{"public", "t"}: 2}, 0, false},
		"long row":        {"COPY public.t (a) FROM stdin;\n" + long + "\n" + long + "\\.\n\\.\n", map[[2]string]int64{{"public", "t"}: 2}, 0, false},
		"large objects":   {"BEGIN;\n\nSELECT pg_catalog.lo_open('1', 131072);\nSELECT pg_catalog.lowrite(0, '\\x" + long + "');\nSELECT pg_catalog.lo_close(0);\n\nSELECT pg_catalog.lo_open('2', 131072);\nCOMMIT;\n", map[[2]string]int64{}, 2, false},
		"rows cut":        {"COPY public.t (a) FROM stdin;\n1\n2\n", nil, 0, true},
		"row cut":         {"COPY public.t (a) FROM stdin;\n1\n\\.", nil, 0, true},
		"statement cut":   {"SELECT pg_catalog.setval('public.s'", nil, 0, true},
		"quote cut":       {"SET x = 'a;\n", nil, 0, true},
		"another COPY":    {"COPY public.t TO stdout;\n", nil, 0, true},
		"COPY of a query": {"COPY (SELECT 1) FROM stdin;\n", nil, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, objects, err := pgbackup.ReadScript(strings.NewReader(tt.text))
			if (err != nil) != tt.fails {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, rows); !tt.fails && (diff != "" || objects != tt.objects) {
				t.Errorf("%d objects (-want +got):\n%s", objects, diff)
			}
		})
	}
}

// TestScriptReader: another end than io.EOF is never taken for the end.
func TestScriptReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, text := range []string{"", "SET a = 1;\n", "SET a", "COPY a.b FROM stdin;\n1\n", "COPY a.b FROM stdin;\n\\.\n"} {
		_, _, err := pgbackup.ReadScript(io.MultiReader(strings.NewReader(text), failing{broken}))
		if !errors.Is(err, broken) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzScript(f *testing.F) {
	f.Add("COPY public.t (a) FROM stdin;\n1\n\\.\n")
	f.Add("COPY \"a\"\"b\".c FROM stdin;\n\\.\nSELECT pg_catalog.lo_open('1', 1);\n")
	f.Add("SET x = 'a''b';\n-- c\n\\x\n")
	f.Fuzz(func(t *testing.T, text string) {
		rows, _, err := pgbackup.ReadScript(strings.NewReader(text))
		if err != nil {
			return
		}
		var total int64
		for _, n := range rows {
			total += n
		}
		if total > int64(strings.Count(text, "\n")) {
			t.Errorf("%d rows in %d lines", total, strings.Count(text, "\n"))
		}
	})
}
