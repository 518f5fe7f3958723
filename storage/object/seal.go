package object

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrDamaged reports that stored bytes are not what was once stored.
var ErrDamaged = errors.New("damaged")

// ErrNewer reports a manifest that a newer version of upkeep wrote in a form
// this one cannot read. Such an artifact must be left alone.
var ErrNewer = errors.New("written by a newer version of upkeep")

// A manifest ends with the hash of all its bytes before the seal, so that a
// changed byte anywhere in it is found:
//
//	…,
//	  "seal": "<64 hexadecimal digits>"
//	}
const (
	sealOpen  = ",\n  \"seal\": \""
	sealClose = "\"\n}\n"
	sealBytes = len(sealOpen) + 2*sha256.Size + len(sealClose)
)

// EncodeManifest writes m as sealed JSON. It refuses a manifest that
// DecodeManifest would not accept.
func EncodeManifest(m Manifest) ([]byte, error) {
	m.Schema = ManifestSchema
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", m.ID, err)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", m.ID, err)
	}
	text = bytes.TrimSuffix(text, []byte("\n}"))
	sum := sha256.Sum256(text)
	text = append(text, sealOpen...)
	text = hex.AppendEncode(text, sum[:])
	return append(text, sealClose...), nil
}

// DecodeManifest reads what EncodeManifest wrote. It returns an error that
// wraps ErrDamaged when any byte differs, and one that wraps ErrNewer when the
// seal is whole but the schema is not known.
func DecodeManifest(text []byte) (Manifest, error) {
	at := len(text) - sealBytes
	if at < 0 {
		return Manifest{}, fmt.Errorf("%w: the manifest of %d bytes has no seal", ErrDamaged, len(text))
	}
	sum := sha256.Sum256(text[:at])
	seal := sealOpen + hex.EncodeToString(sum[:]) + sealClose
	if string(text[at:]) != seal {
		return Manifest{}, fmt.Errorf("%w: the manifest does not match its seal", ErrDamaged)
	}
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return Manifest{}, fmt.Errorf("%w: the manifest is not JSON: %w", ErrDamaged, err)
	}
	if head.Schema > ManifestSchema {
		return Manifest{}, fmt.Errorf("manifest of schema %d: %w", head.Schema, ErrNewer)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return Manifest{}, fmt.Errorf("%w: the manifest has another form: %w", ErrDamaged, err)
	}
	if head.Schema < 1 {
		return Manifest{}, fmt.Errorf("%w: the manifest has no schema", ErrDamaged)
	}
	if err := m.validate(); err != nil {
		return Manifest{}, fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	return m, nil
}
