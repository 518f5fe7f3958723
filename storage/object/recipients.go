package object

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/ghosteam/upkeep/configs/registry"
)

// Encrypting is implemented by stores that want what is put into them
// encrypted, whatever a job says. Who publishes artifacts obeys; the store
// itself encrypts nothing, and could not without keeping every reader from it.
type Encrypting interface {
	// EncryptTo returns the public keys of age that what is stored has to be
	// encrypted to, beside those that a job adds; empty when the store has no
	// such wish.
	EncryptTo() []string
}

// CheckRecipients judges the public keys of a store's option encrypt_to: each
// is one of age's two sorts, age1… or age1pq1…, none is listed twice, and the
// sorts are not mixed, because a key that does not resist quantum computers
// makes the others useless. Every complaint is a *registry.FieldError, and
// none repeats what was written, which may be an identity by mistake.
func CheckRecipients(texts []string) error {
	var errs []error
	for i, text := range texts {
		field := fmt.Sprintf("encrypt_to[%d]", i)
		if len(texts) == 1 {
			field = "encrypt_to"
		}
		switch {
		case strings.HasPrefix(text, "AGE-SECRET-KEY-"):
			errs = append(errs, &registry.FieldError{
				Field: field, Why: "this is an identity, which decrypts",
				Hint: "write the public key that belongs to it (age1…), and keep the identity away from this machine",
			})
		case !recipient(text):
			errs = append(errs, registry.Fieldf(field, "it is not a public key of age (age1…)"))
		case slices.Contains(texts[:i], text):
			errs = append(errs, registry.Fieldf(field, "this key is listed twice"))
		case strings.HasPrefix(text, hybrid) != strings.HasPrefix(texts[0], hybrid):
			errs = append(errs, registry.Fieldf(field, "recipients of the sorts age1… and age1pq1… cannot be mixed"))
		}
	}
	return errors.Join(errs...)
}

// hybrid begins public keys that also resist quantum computers.
const hybrid = "age1pq1"

func recipient(text string) bool {
	var err error
	if strings.HasPrefix(text, hybrid) {
		_, err = age.ParseHybridRecipient(text)
	} else {
		_, err = age.ParseX25519Recipient(text)
	}
	return err == nil
}
