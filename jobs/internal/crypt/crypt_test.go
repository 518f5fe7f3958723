package crypt_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/ghosteam/upkeep/jobs/internal/crypt"
)

func encrypt(t testing.TB, r crypt.Recipients, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := r.Encrypt(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decrypt(k crypt.Keys, sealed []byte) (string, error) {
	r, err := k.Decrypt(bytes.NewReader(sealed))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), err
}

func keyFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryRecipientDecrypts(t *testing.T) {
	t.Parallel()
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	second, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("all work and no play ", 10_000)
	for name, tt := range map[string]struct {
		public  []string
		private []string
	}{
		"classic": {[]string{classic.Recipient().String(), second.Recipient().String()}, []string{classic.String(), second.String()}},
		"hybrid":  {[]string{hybrid.Recipient().String()}, []string{hybrid.String()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := crypt.ParseRecipients(tt.public)
			if err != nil {
				t.Fatal(err)
			}
			with, once, err := r.WithOneTimeKey()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decrypt(once, encrypt(t, with, text)); err != nil || got != text {
				t.Errorf("the one-time key: %d bytes, %v", len(got), err)
			}
			if _, err := decrypt(once, encrypt(t, r, text)); !errors.Is(err, crypt.ErrNoIdentity) {
				t.Errorf("the one-time key decrypts what it was not made for: %v", err)
			}
			for _, short := range with.Short() {
				if len(short) > 80 || strings.Contains(short, "SECRET") {
					t.Errorf("short form %q", short)
				}
			}
			if len(with.Short()) != len(tt.public) {
				t.Errorf("recipients %q", with.Short())
			}
			for _, private := range tt.private {
				keys, err := crypt.Load(keyFile(t, "# comment\n\n"+private+"\n"))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := decrypt(keys, encrypt(t, with, text)); err != nil || got != text {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
}

func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	r, err := crypt.ParseRecipients([]string{key.Recipient().String()})
	if err != nil {
		t.Fatal(err)
	}
	sealed := encrypt(t, r, strings.Repeat("x", 200_000))
	for _, at := range []int{0, 30, 100, 200, 70_000, 64<<10 + 16 + 216, len(sealed) / 2, len(sealed) - 1} {
		if _, err := decrypt(crypt.Keys{key}, sealed[:at]); err == nil {
			t.Errorf("cut at %d of %d: it decrypts", at, len(sealed))
		}
		flipped := bytes.Clone(sealed)
		flipped[at] ^= 1
		if _, err := decrypt(crypt.Keys{key}, flipped); err == nil {
			t.Errorf("flipped at %d: it decrypts", at)
		}
	}
	if _, err := decrypt(crypt.Keys{key}, append(bytes.Clone(sealed), 'x')); err == nil {
		t.Error("with a tail it decrypts")
	}
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, texts := range [][]string{
		{"age1nonsense"}, {"ssh-ed25519 AAAA"}, {classic.String()}, {""}, {classic.Recipient().String(), hybrid.Recipient().String()}, {"age1pq1x"},
	} {
		if _, err := crypt.ParseRecipients(texts); err == nil || strings.Contains(err.Error(), classic.String()) {
			t.Errorf("%.20q: %v", texts, err)
		}
	}
	if _, err := crypt.Load(keyFile(t, classic.String()[:40])); err == nil || strings.Contains(err.Error(), classic.String()[:40]) {
		t.Errorf("%v", err)
	}
	for _, path := range []string{keyFile(t, "# none\n"), filepath.Join(t.TempDir(), "missing")} {
		if _, err := crypt.Load(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v", err)
		}
	}
	if keys, err := crypt.Load(); len(keys) != 0 || err != nil {
		t.Error(keys, err)
	}
}
