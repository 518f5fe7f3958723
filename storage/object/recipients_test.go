package object_test

import (
	"errors"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/ghosteam/upkeep/configs/registry"
	"github.com/ghosteam/upkeep/storage/object"
)

func TestCheckRecipients(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	one, pq := identity.Recipient().String(), hybrid.Recipient().String()
	for name, tt := range map[string]struct {
		texts []string
		field string
		why   string
	}{
		"none":       {nil, "", ""},
		"one":        {[]string{one}, "", ""},
		"pq":         {[]string{pq}, "", ""},
		"nonsense":   {[]string{one, "age1nonsense"}, "encrypt_to[1]", "not a public key"},
		"ssh":        {[]string{"ssh-ed25519 AAAA"}, "encrypt_to", "not a public key"},
		"identity":   {[]string{identity.String()}, "encrypt_to", "decrypts"},
		"pq secret":  {[]string{hybrid.String()}, "encrypt_to", ""},
		"twice":      {[]string{one, one}, "encrypt_to[1]", "twice"},
		"both sorts": {[]string{one, pq}, "encrypt_to[1]", "mixed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := object.CheckRecipients(tt.texts)
			if tt.field == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			field, ok := errors.AsType[*registry.FieldError](err)
			if !ok || field.Field != tt.field || !strings.Contains(field.Why, tt.why) {
				t.Fatalf("%v", err)
			}
			for _, secret := range []string{identity.String(), hybrid.String()[:60]} {
				if strings.Contains(err.Error()+field.Hint, secret) {
					t.Errorf("it tells the identity: %v", err)
				}
			}
		})
	}
}
