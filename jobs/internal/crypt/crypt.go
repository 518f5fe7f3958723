// Package crypt encrypts streams to age recipients (age-encryption.org/v1) and
// decrypts them again. Only public keys need to be on the machine that
// encrypts. It knows nothing of jobs and stores, and refuses passphrases, which
// somebody would have to store beside what they protect.
package crypt

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
)

// ErrNoIdentity reports that something is encrypted and that none of the
// identities at hand decrypts it. It says nothing about damage.
var ErrNoIdentity = errors.New("encrypted, and no identity at hand decrypts it")

// Suffix is what the name of an encrypted file ends in.
const Suffix = ".age"

// Recipients are the public keys that a stream is encrypted to.
type Recipients struct {
	texts []string
	keys  []age.Recipient
	pq    bool
}

// ParseRecipient reads one public key: "age1…", or "age1pq1…" for one that
// also resists quantum computers.
func ParseRecipient(text string) (age.Recipient, error) {
	switch {
	case strings.HasPrefix(text, "AGE-SECRET-KEY-"):
		// The text must not be repeated: it is the secret itself.
		return nil, errors.New("this is an identity, which decrypts; give the public key that belongs to it (age1…), and keep the identity away from this machine")
	case strings.HasPrefix(text, "age1pq1"):
		r, err := age.ParseHybridRecipient(text)
		if err != nil {
			return nil, errors.New("not a public key of age (age1pq1…)")
		}
		return r, nil
	}
	r, err := age.ParseX25519Recipient(text)
	if err != nil {
		return nil, errors.New("not a public key of age (age1…)")
	}
	return r, nil
}

// ParseRecipients reads public keys. All must be of the same sort, because one
// that does not resist quantum computers makes the others useless.
func ParseRecipients(texts []string) (Recipients, error) {
	r := Recipients{texts: texts}
	for i, text := range texts {
		key, err := ParseRecipient(text)
		if err != nil {
			return Recipients{}, err
		}
		_, pq := key.(*age.HybridRecipient)
		if i > 0 && pq != r.pq {
			return Recipients{}, errors.New("recipients of the sorts age1… and age1pq1… cannot be mixed")
		}
		r.pq = pq
		r.keys = append(r.keys, key)
	}
	return r, nil
}

// Empty tells that nothing is to be encrypted.
func (r Recipients) Empty() bool { return len(r.keys) == 0 }

// Short returns the public keys for a manifest; long ones as their beginning
// and a fingerprint.
func (r Recipients) Short() []string {
	var out []string
	for _, text := range r.texts {
		if len(text) > 80 {
			sum := sha256.Sum256([]byte(text))
			text = text[:24] + "…sha256:" + hex.EncodeToString(sum[:8])
		}
		out = append(out, text)
	}
	return out
}

// Key decrypts what is encrypted to the recipient it belongs to.
type Key = age.Identity

// Keys decrypt.
type Keys []Key

// WithOneTimeKey returns recipients that include a new key, and that key. It
// never leaves the memory of this process: who made a stream can read it back
// and prove it, and nobody else can afterwards without an identity of the
// other recipients.
func (r Recipients) WithOneTimeKey() (Recipients, Keys, error) {
	if r.Empty() {
		return r, nil, nil
	}
	out := r
	if r.pq {
		key, err := age.GenerateHybridIdentity()
		if err != nil {
			return r, nil, fmt.Errorf("make a key: %w", err)
		}
		out.keys = append(out.keys[:len(r.keys):len(r.keys)], key.Recipient())
		return out, Keys{key}, nil
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return r, nil, fmt.Errorf("make a key: %w", err)
	}
	out.keys = append(out.keys[:len(r.keys):len(r.keys)], key.Recipient())
	return out, Keys{key}, nil
}

// Encrypt returns a writer that encrypts to w. Its Close writes the end,
// without which the stream cannot be decrypted to its end; it does not close w.
func (r Recipients) Encrypt(w io.Writer) (io.WriteCloser, error) {
	out, err := age.Encrypt(w, r.keys...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return out, nil
}

// Decrypt returns the plain bytes of r. The error wraps ErrNoIdentity when
// none of the keys fits; any other means that r is not what Encrypt wrote.
// What it returns is authentic; a stream that was cut gives an error in the end.
func (k Keys) Decrypt(r io.Reader) (io.Reader, error) {
	if len(k) == 0 {
		return nil, ErrNoIdentity
	}
	plain, err := age.Decrypt(r, k...)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, ErrNoIdentity
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	return plain, nil
}

// Load reads identities from files, one in each line; empty lines and those
// that begin with # do not count. Errors never quote a line.
func Load(paths ...string) (Keys, error) {
	var keys Keys
	for _, path := range paths {
		loaded, err := load(path)
		if err != nil {
			return nil, fmt.Errorf("read identities from %s: %w", path, err)
		}
		keys = append(keys, loaded...)
	}
	return keys, nil
}

// longest bounds a file of identities.
const longest = 1 << 20

func load(path string) (_ Keys, err error) {
	f, err := os.Open(path)
	if err != nil {
		if at, ok := errors.AsType[*os.PathError](err); ok {
			err = at.Err
		}
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, longest))
	if err != nil {
		return nil, err
	}
	var keys Keys
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		found, err := age.ParseIdentities(strings.NewReader(line))
		if err != nil || len(found) != 1 {
			// The library's error quotes what it could not read.
			return nil, fmt.Errorf("line %d is not an identity of age (AGE-SECRET-KEY-…)", number)
		}
		keys = append(keys, found[0])
	}
	if len(keys) == 0 {
		return nil, errors.New("there is none in it")
	}
	return keys, nil
}
