package ledger_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

func TestRunID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "now")).UTC()
		ids, recorded, err := ledger.IDsOf(now, 20)
		if err != nil {
			t.Fatal(err)
		}
		if recorded[0] != now.UnixMicro() {
			t.Fatalf("recorded at %d, asked for %d", recorded[0], now.UnixMicro())
		}
		if !slices.IsSorted(ids) || !slices.IsSorted(recorded) {
			t.Fatalf("not in order: %v %v", ids, recorded)
		}
		for i, id := range ids {
			parsed, err := uuid.Parse(string(id))
			if err != nil || parsed.Version() != 7 || parsed.Variant() != uuid.RFC4122 || parsed.String() != string(id) {
				t.Fatalf("%s is not a canonical UUID of version 7 (%v)", id, err)
			}
			if sec, nano := parsed.Time().UnixTime(); time.Unix(sec, nano).UnixMilli() != recorded[i]/1000 {
				t.Fatalf("%s carries %d.%09d, recorded at %d µs", id, sec, nano, recorded[i])
			}
			// The bounds of Since and Until agree with the recorded time.
			at := time.UnixMicro(recorded[i])
			bound := at.Add(time.Duration(rapid.Int64Range(-3000, 3000).Draw(t, "distance")))
			if inside := id >= ledger.BoundOf(bound); inside == at.Before(bound) {
				t.Fatalf("recorded at %d ns, bound at %d ns: inside is %t", at.UnixNano(), bound.UnixNano(), inside)
			}
		}
	})
	for _, extreme := range []time.Time{time.Unix(-1, 0), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if id := ledger.BoundOf(extreme); len(id) != 36 {
			t.Errorf("the bound of %s is %q", extreme, id)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x00", "\xff\xfe", strings.Repeat("é", 50), "\U0001F4A9\x80"} {
		f.Add(seed, 10)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if limit < 0 || limit > 1<<20 {
			return
		}
		got := ledger.Clean(text, limit)
		if !utf8.ValidString(got) || strings.ContainsRune(got, 0) {
			t.Errorf("Clean(%q, %d) = %q", text, limit, got)
		}
		if len(got) > limit+len("… (9223372036854775807 bytes cut)") {
			t.Errorf("Clean(%q, %d) has %d bytes", text, limit, len(got))
		}
		if again := ledger.Clean(got, len(got)); again != got {
			t.Errorf("Clean of %q is %q", got, again)
		}
		if utf8.ValidString(text) && !strings.ContainsRune(text, 0) && len(text) <= limit && got != text {
			t.Errorf("Clean(%q, %d) = %q", text, limit, got)
		}
	})
}

func TestCheckDSN(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"sqlite:var/upkeep.db":                    "",
		"sqlite:/var/lib/upkeep/upkeep.db":        "",
		"sqlite:///var/lib/upkeep.db":             "",
		"sqlite:a b%#.db":                         "",
		"postgres://u:p%2F@h:1/db?sslmode=verify": "",
		"postgresql:///db?host=/run/postgresql":   "",
		"":                                        "no ledger is configured",
		"var/upkeep.db":                           "has no scheme",
		"mysql://u@h/db":                          "unknown scheme",
		"sqlite:":                                 "names no file",
		"sqlite:var/":                             "names no file",
		"sqlite://var/upkeep.db":                  "names a host",
		"sqlite::memory:":                         "would forget every run",
		"sqlite:a.db?mode=rwc":                    "question mark",
		"postgres:db":                             "not a valid PostgreSQL URL",
		"postgres://u:hunter2/x@h:port/db":        "not a valid PostgreSQL URL",
		"postgres://u:hunter2%zz@h/db":            "not a valid PostgreSQL URL",
	} {
		err := ledger.CheckDSN(secret.New(dsn))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", dsn, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", dsn, err, want)
		case err != nil && strings.Contains(err.Error()+jobs.HintOf(err), "hunter2"):
			t.Errorf("%s: the error contains the password: %v", dsn, err)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	for want, o := range map[string]ledger.Options{
		"too short":    {DSN: dsn, LeaseTTL: time.Millisecond},
		"contains NUL": {DSN: dsn, Node: "a\x00"},
		"is too long":  {DSN: dsn, Instance: strings.Repeat("i", 300)},
	} {
		if l, err := ledger.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, %v, want %q", l, err, want)
		}
	}
}

// TestLease_BothClocks: a lease is lost when either clock says so, whatever
// the other one says.
func TestLease_BothClocks(t *testing.T) {
	t.Parallel()
	setLease := func(l *ledger.Ledger, until int64) {
		t.Helper()
		err := l.Transact(t.Context(), func(exec func(string, ...any) error) error {
			return exec("UPDATE nodes SET lease_until = ?", until)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ours := ledgertest.Join(t, ledgertest.SQLite(t), "a", 60*time.Millisecond)
	setLease(ours, 1<<60)
	for deadline := time.Now().Add(10 * time.Second); ours.LeaseLeft() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the lease does not end")
		}
	}
	if err := ours.Heartbeat(t.Context()); !errors.Is(err, runner.ErrLeaseLost) {
		t.Errorf("late by the local clock: %v, want ErrLeaseLost", err)
	}
	theirs := ledgertest.Join(t, ledgertest.SQLite(t), "a", time.Hour)
	setLease(theirs, 1)
	if err := theirs.Heartbeat(t.Context()); !errors.Is(err, runner.ErrLeaseLost) {
		t.Errorf("late by the database's clock: %v, want ErrLeaseLost", err)
	}
}

// TestRegister_Twice: an identity belongs to one process.
func TestRegister_Twice(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.SQLite(t)
	l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Instance = "me" })
	if err := errors.Join(l.Register(t.Context()), l.Register(t.Context())); err != nil {
		t.Errorf("Register: %v", err)
	}
	err := l.Transact(t.Context(), func(exec func(string, ...any) error) error {
		return exec("UPDATE nodes SET pid = 1, process = ''")
	})
	if err != nil {
		t.Fatal(err)
	}
	other := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Instance = "me" })
	if err := other.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "another process is registered as instance me") {
		t.Errorf("Register as somebody who lives: %v", err)
	}
}

func TestProvablyDead(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	me := os.Getpid()
	mine := ledger.ProcessOf(me)
	parts := strings.Split(mine, "/")
	if len(parts) != 3 {
		t.Fatalf("this process is %q", mine)
	}
	for _, test := range []struct {
		name, host string
		pid        int
		process    string
		want       bool // of a process that must be local
		remote     bool // of one that may be anywhere
	}{
		{"this process", host, me, mine, false, false},
		{"this process, unknown start", host, me, "", false, false},
		{"its number reused", host, me, parts[0] + "/" + parts[1] + "/1", true, true},
		{"before the last boot", host, me, "other-boot/" + parts[1] + "/" + parts[2], true, false},
		{"another namespace", host, 1 << 30, parts[0] + "/pid:[1]/1", false, false},
		{"another name of this host", "elsewhere", 1 << 30, mine, true, true},
		{"another host, unknown start", "elsewhere", 1 << 30, "", false, false},
		{"no such process", host, 1 << 30, mine, true, true},
		{"no such process, unknown start", host, 1 << 30, "", true, false},
	} {
		if got := ledger.ProvablyDead(test.host, test.pid, test.process, true); got != test.want {
			t.Errorf("%s, local: %t, want %t", test.name, got, test.want)
		}
		if got := ledger.ProvablyDead(test.host, test.pid, test.process, false); got != test.remote {
			t.Errorf("%s, anywhere: %t, want %t", test.name, got, test.remote)
		}
	}
}

// TestResult_Limits: a result of any size becomes a record of bounded size
// that says what it lacks.
func TestResult_Limits(t *testing.T) {
	t.Parallel()
	l := ledgertest.Join(t, ledgertest.SQLite(t), "a", time.Hour)
	answers, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := l.Claim(t.Context(), answers[0].Run)
	if err != nil {
		t.Fatal(err)
	}
	a := ledgertest.Ended(ledgertest.Attempt("x", 1), runner.Succeeded)
	a.Result = jobs.Result{Values: map[string]float64{}, Outputs: map[string]string{}}
	for i := range 3000 {
		name := "n" + time.Duration(i).String()
		a.Result.Values[name], a.Result.Outputs[name] = 1, strings.Repeat("o", 10_000)
		a.Result.Findings = append(a.Result.Findings, jobs.Finding{ID: name, Severity: jobs.Info, Text: strings.Repeat("f", 10_000)})
	}
	big := make([]byte, 40<<20)
	if _, err := l.Advance(t.Context(), c, runner.Step{Ended: []runner.End{{Attempt: a, Output: runner.Output{Head: big, Tail: big, Cut: 1}}}}); err != nil {
		t.Fatal(err)
	}
	list, err := l.Attempts(t.Context(), c.Run)
	if err != nil {
		t.Fatal(err)
	}
	got := list[0].Result
	if len(got.Values) != 1000 || len(got.Outputs) != 200 || len(got.Findings) != 1001 {
		t.Errorf("%d values, %d outputs, %d findings", len(got.Values), len(got.Outputs), len(got.Findings))
	}
	note := got.Findings[len(got.Findings)-1].Text
	for _, want := range []string{"1000 of 3000 values", "200 of 3000 outputs", "1000 of 3000 findings"} {
		if !strings.Contains(note, want) {
			t.Errorf("the note %q does not say %q", note, want)
		}
	}
	out, err := l.Output(t.Context(), list[0].Key())
	const kept = 16 << 20
	if err != nil || len(out.Head) != kept || len(out.Tail) != kept || out.Cut != 2*(40<<20-kept)+1 || list[0].OutputBytes != 80<<20+1 {
		t.Errorf("%d + %d bytes, %d cut, %d in all, %v", len(out.Head), len(out.Tail), out.Cut, list[0].OutputBytes, err)
	}
}
