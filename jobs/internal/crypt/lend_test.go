package crypt_test

import (
	"bytes"
	"io"
	"os"
	"testing"

	"filippo.io/age"

	"github.com/ghosteam/upkeep/jobs/internal/crypt"
)

func TestLend(t *testing.T) {
	t.Parallel()
	offline, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	quantum, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, public := range []string{offline.Recipient().String(), quantum.Recipient().String()} {
		recipients, err := crypt.ParseRecipients([]string{public})
		if err != nil {
			t.Fatal(err)
		}
		recipients, keys, err := recipients.WithOneTimeKey()
		if err != nil {
			t.Fatal(err)
		}
		var sealed bytes.Buffer
		w, err := recipients.Encrypt(&sealed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("secret")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		path, back, err := keys.Lend()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // it may be read again
			lent, err := crypt.Load(path)
			if err != nil || len(lent) != 1 {
				t.Fatalf("%d keys, %v", len(lent), err)
			}
			plain, err := lent.Decrypt(bytes.NewReader(sealed.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(plain); err != nil || string(text) != "secret" {
				t.Errorf("%q, %v", text, err)
			}
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if err := back(); err != nil {
			t.Fatal(err)
		}
		if lent, err := crypt.Load(path); err == nil && len(lent) > 0 {
			t.Error("the key is there after it was given back")
		}
	}
	if path, back, err := (crypt.Keys{}).Lend(); path != "" || err != nil || back() != nil {
		t.Errorf("no keys: %q, %v", path, err)
	}
}
