package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/configs/secret"
)

func TestString_NeverPrints(t *testing.T) {
	t.Parallel()
	s := secret.New("hunter2")
	holder := struct {
		Password secret.String `json:"password"`
	}{s}
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "password", s, "holder", holder)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "password", s, "holder", holder)
	for _, shown := range []string{
		s.String(), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), fmt.Sprintf("%v %+v %#v", holder, holder, holder),
		string(encoded), logged.String(), fmt.Sprint([]secret.String{s}), fmt.Sprint(map[string]secret.String{"a": s}),
	} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("%s shows the secret", shown)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Error("Reveal does not return the text")
	}
}

func TestString_UnmarshalText(t *testing.T) {
	t.Parallel()
	var s secret.String
	if err := s.UnmarshalText([]byte(secret.Redacted)); err == nil {
		t.Error("the placeholder was taken for a secret")
	}
	if err := s.UnmarshalText([]byte("x")); err != nil || s.Reveal() != "x" {
		t.Errorf("got %q, %v", s.Reveal(), err)
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	type inner struct{ Key secret.String }
	type circle struct {
		Next *circle
		Own  secret.String
	}
	round := &circle{Own: secret.New("round")}
	round.Next = round
	v := struct {
		A      secret.String
		Empty  secret.String
		List   []inner
		Map    map[string]*inner
		Any    any
		Keys   map[secret.String]int
		hidden inner
		Bytes  []byte
		Circle *circle
	}{
		A: secret.New("a"), List: []inner{{secret.New("b")}}, Map: map[string]*inner{"x": {secret.New("c")}, "nil": nil},
		Any: inner{secret.New("d")}, Keys: map[secret.String]int{secret.New("e"): 1}, hidden: inner{secret.New("f")}, Circle: round,
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "e", "f", "round"}, secret.Collect(&v)); diff != "" {
		t.Error(diff)
	}
	if got := secret.Collect(nil); len(got) != 0 {
		t.Errorf("Collect(nil) = %v", got)
	}
}

func TestLooksSecret(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"DB_PASSWORD": true, "API_TOKEN": true, "aws_secret_access_key": true, "SENTRY_DSN": true, "PGPASSWORD": true, "SLACK_WEBHOOK_URL": true, "DB_PWD": true, "BASIC_AUTH": true,
		"HOME": false, "PWD": false, "PATH": false, "SSH_AUTH_SOCK": false, "KEYBOARD": false, "COMPASS": false, "USER": false,
	} {
		if got := secret.LooksSecret(name); got != want {
			t.Errorf("LooksSecret(%q) = %v", name, got)
		}
	}
}

func TestScrub_Forms(t *testing.T) {
	t.Parallel()
	const plain = `p@ss w/ör"d+%`
	r := secret.NewRedactor([]string{plain})
	jsonText := func(v any) string {
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for name, text := range map[string]string{
		"plain":            "x " + plain + " y",
		"path":             "http://h/" + url.PathEscape(plain) + "/x",
		"query":            "http://h/?p=" + url.QueryEscape(plain) + "&q=1",
		"userinfo":         (&url.URL{Scheme: "postgres", User: url.UserPassword("u", plain), Host: "h"}).String(),
		"lowerPercent":     strings.ToLower(url.QueryEscape(strings.ToLower(plain))),
		"json":             jsonText(map[string]string{"p": plain}),
		"jsonASCII":        `{"p": "p@ss w/\u00f6r\"d+%"}`,
		"jsonSlash":        `{"p": "p@ss w\/ör\"d+%"}`,
		"goQuoted":         fmt.Sprintf("%q", plain),
		"goASCII":          fmt.Sprintf("%+q", plain),
		"hex":              hex.EncodeToString([]byte(plain)),
		"base64":           base64.StdEncoding.EncodeToString([]byte(plain)),
		"base64Shifted1":   base64.StdEncoding.EncodeToString([]byte("u" + plain + "tail")),
		"base64Shifted2":   base64.StdEncoding.EncodeToString([]byte("u:" + plain)),
		"base64urlShifted": base64.URLEncoding.EncodeToString([]byte("user:" + plain + "?~?")),
	} {
		if name == "lowerPercent" {
			r := secret.NewRedactor([]string{strings.ToLower(plain)})
			if got := r.Scrub(text); got != secret.Redacted {
				t.Errorf("%s: %q stayed %q", name, text, got)
			}
			continue
		}
		got := r.Scrub(text)
		if got == text || !strings.Contains(got, secret.Redacted) {
			t.Errorf("%s: %q stayed %q", name, text, got)
		}
	}
}

func TestScrub_PartsOfSecrets(t *testing.T) {
	t.Parallel()
	pem := "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"
	for name, tc := range map[string]struct{ secret, text, want string }{
		"password of a URL":        {"postgres://app:hunter2@db/prod", "psql: password hunter2 rejected", "psql: password <redacted> rejected"},
		"decoded password":         {"postgres://app:hu%40nter@db/prod", "login hu@nter and hu%40nter", "login <redacted> and <redacted>"},
		"password with bare signs": {"postgres://app:hu@n/ter@db/prod", "login hu@n/ter", "login <redacted>"},
		"connection string":        {"host=db user=app password=hunter2 dbname=x", "got hunter2", "got <redacted>"},
		"quoted in it":             {`host=db password='hun ter\'2'`, "got hun ter'2", "got <redacted>"},
		"secret parameter":         {"https://h/hook?id=1234&token=abcdef", "got abcdef for 1234", "got <redacted> for 1234"},
		"whole URL":                {"postgres://app:hunter2@db/prod", "open postgres://app:hunter2@db/prod: no", "open <redacted>: no"},
		"lines":                    {pem, "log: MIIEvQIBADANBgkq\nlog: hkiG9w0BAQEFAASC\n", "log: <redacted>\nlog: <redacted>\n"},
		"overlap":                  {"abcabcabx", "abcabcabcabx", "abc<redacted>"},
		"touching":                 {"hunter2", "hunter2hunter2", "<redacted>"},
		"as long as its mask":      {"0123456789", "0123456789", "<redacted>"},
		"too short":                {"abc", "abc", "abc"},
		"trimmed":                  {"hunter2\n", "got hunter2.", "got <redacted>."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := secret.NewRedactor([]string{tc.secret}).Scrub(tc.text); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestScrub_OverlappingSecretsLeaveNothing(t *testing.T) {
	t.Parallel()
	r := secret.NewRedactor([]string{"alphabet", "betamax"})
	if got := r.Scrub("say alphabetamax now"); got != "say <redacted> now" {
		t.Errorf("got %q", got)
	}
}

func TestScrub_WrappedBase64(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdefghij", 20)
	encoded := base64.StdEncoding.EncodeToString([]byte(long))
	for _, width := range []int{64, 76} {
		var wrapped strings.Builder
		for from := 0; from < len(encoded); from += width {
			wrapped.WriteString(encoded[from:min(from+width, len(encoded))] + "\n")
		}
		got := secret.NewRedactor([]string{long}).Scrub(wrapped.String())
		if strings.ContainsAny(strings.ReplaceAll(got, secret.Redacted, ""), "MTIz") {
			t.Errorf("width %d: %q", width, got)
		}
	}
}

func TestScrub_MaskSharesNothingWithSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"redacted", "<redacted>", ">abcd", "abcd<", "acted>***", "***#"} {
		got := secret.NewRedactor([]string{text}).Scrub("x " + text + "abcd " + text + " abcd" + text + " ")
		if strings.Contains(got, text) {
			t.Errorf("secret %q: %q", text, got)
		}
	}
}

func TestRedactor_NoSecretsHandsThrough(t *testing.T) {
	t.Parallel()
	r := secret.NewRedactor([]string{"", "abc"})
	var got []byte
	w := r.Writer(writerFunc(func(p []byte) (int, error) { got = p; return len(p), nil }))
	text := []byte("hello")
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if &got[0] != &text[0] {
		t.Error("the text was copied")
	}
	if got := r.Scrub("abc"); got != "abc" {
		t.Errorf("got %q", got)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestScrubWriter_ReportsErrors(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	failing := writerFunc(func([]byte) (int, error) { return 0, full })
	w := secret.NewRedactor([]string{"hunter2"}).Writer(failing)
	if n, err := w.Write([]byte("hello")); !errors.Is(err, full) || n != 5 {
		t.Errorf("Write = %d, %v", n, err)
	}
	w = secret.NewRedactor([]string{"hunter2"}).Writer(failing)
	if _, err := w.Write([]byte("hunt")); err != nil {
		t.Errorf("nothing was certain, yet: %v", err)
	}
	if err := w.Close(); !errors.Is(err, full) {
		t.Errorf("Close = %v", err)
	}
}

func TestScrubWriter_HoldsBackNoMoreThanNeeded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := secret.NewRedactor([]string{"hunter2"}).Writer(&out)
	for _, step := range []struct{ write, want string }{
		{"go hun", "go "}, {"t!", "go hunt!"}, {"hunter", "go hunt!"}, {"2", "go hunt!<redacted>"}, {" x", "go hunt!<redacted> x"},
	} {
		if _, err := io.WriteString(w, step.write); err != nil {
			t.Fatal(err)
		}
		// Forms such as hexadecimal may hold back what looks like their start.
		if !strings.HasPrefix(step.want, out.String()) || len(step.want)-len(out.String()) > len(secret.Redacted) {
			t.Errorf("after %q: %q, want %q", step.write, out.String(), step.want)
		}
	}
	if err := w.Close(); err != nil || out.String() != "go hunt!<redacted> x" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

// splitting is a text made of secrets, pieces of secrets and other things, and
// the ways to cut it.
func splitting(t *rapid.T) (secrets []string, text string) {
	alphabet := rapid.SampledFrom([]rune("ab/+=% \"\\\nö<>redact"))
	secrets = rapid.SliceOfN(rapid.StringOfN(alphabet, 4, 12, -1), 1, 3).Draw(t, "secrets")
	pieces := rapid.SliceOfN(rapid.OneOf(
		rapid.SampledFrom(secrets),
		rapid.Map(rapid.SampledFrom(secrets), func(s string) string { return s[:len(s)/2] }),
		rapid.Map(rapid.SampledFrom(secrets), func(s string) string { return s[len(s)/2:] }),
		rapid.Map(rapid.SampledFrom(secrets), url.QueryEscape),
		rapid.Map(rapid.SampledFrom(secrets), func(s string) string { return base64.StdEncoding.EncodeToString([]byte("k" + s)) }),
		rapid.StringOfN(alphabet, 0, 6, -1),
	), 0, 12).Draw(t, "pieces")
	return secrets, strings.Join(pieces, "")
}

func TestScrubWriter_AnySplitEqualsTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secrets, text := splitting(t)
		r := secret.NewRedactor(secrets)
		whole := r.Scrub(text)
		var out bytes.Buffer
		w := r.Writer(&out)
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, min(len(rest), 7)).Draw(t, "n")
			if _, err := io.WriteString(w, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != whole {
			t.Fatalf("in pieces %q\nat once   %q", out.String(), whole)
		}
		for _, s := range secrets {
			if strings.Contains(whole, s) {
				t.Fatalf("%q still holds %q", whole, s)
			}
		}
	})
}

func FuzzScrubWriter(f *testing.F) {
	f.Add("hunter2", "say hunter2 now", 3)
	f.Add("a\nbbbbb\n", "bbbbb", 1)
	f.Add("postgres://u:p%40ssword@h/d", "p@ssword", 2)
	f.Add("<redacted>", "<redacted>", 5)
	f.Fuzz(func(t *testing.T, s, text string, n int) {
		r := secret.NewRedactor([]string{s})
		whole := r.Scrub(text)
		if len(s) >= secret.MinLength && strings.Contains(whole, s) {
			t.Fatalf("%q still holds %q", whole, s)
		}
		var out bytes.Buffer
		w := r.Writer(&out)
		n = max(1, n%16)
		for rest := text; rest != ""; rest = rest[min(n, len(rest)):] {
			if _, err := io.WriteString(w, rest[:min(n, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil || out.String() != whole {
			t.Fatalf("in pieces %q\nat once   %q (%v)", out.String(), whole, err)
		}
	})
}

func BenchmarkScrubWriter(b *testing.B) {
	line := []byte(strings.Repeat("2026-11-23T02:30:00Z INFO backup: 12345 rows copied from orders\n", 1000))
	for _, secrets := range [][]string{nil, {"postgres://app:hunter2hunter2@db/prod"}, {"postgres://app:hunter2hunter2@db/prod", strings.Repeat("k3y", 1000), "another-token-0123456789"}} {
		b.Run(fmt.Sprintf("secrets=%d", len(secrets)), func(b *testing.B) {
			w := secret.NewRedactor(secrets).Writer(io.Discard)
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				if _, err := w.Write(line); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
