package configs_test

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/ghosteam/upkeep/configs"
)

// shown is a configuration with secrets in all places where one can stand, and
// with what looks like one and is none.
const shown = `# a comment that nobody needs
project: shop
web: {listen: "127.0.0.1:0", users: {anna: {password_hash: "$2a$12$abcdefghijklmnopqrstuuW4rWmL3kZ1rcQ6zMTV0p2r2iX8nVtR3", role: admin}}}
stores:
  literal: {kind: s3, bucket: shop-backups, secret_key: literal-secret-1}
  reference: {kind: s3, bucket: shop-backups, secret_key: "${env:KEY}"}
databases:
  literal: {kind: postgres, url: "postgres://app:literal-secret-2@db.example.com/shop"}
  reference: {kind: postgres, url: "postgres://app:${env:SECRET}@db.example.com/shop"}
checks:
  secret-slug: {kind: heartbeat, every: 1d, with: {slug: 9f86d081884c7d659a2feaa0, public: true}}
  secret-slug-elsewhere: {kind: heartbeat, every: 1d, with: {slug: "${env:SLUG}", public: true}}
  plain-slug: {kind: heartbeat, every: 1d, with: {slug: nightly-export}}
workflows:
  daily:
    description: told at /ping/9f86d081884c7d659a2feaa0 with resolved-secret
    schedule: {daily: "02:30"}
    jobs: {one: {kind: script, with: {run: [curl, "http://127.0.0.1:8620/ping/9f86d081884c7d659a2feaa0"]}}}
`

// TestConfig_Text: nobody who may read the configuration learns a secret from
// it, and everything else is there.
func TestConfig_Text(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, shown, map[string]string{"KEY": "resolved-key", "SECRET": "resolved-secret", "SLUG": "0a1b2c3d4e5f60718293a4b5"})
	w, err := c.Workflow("daily")
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{
		"literal-secret-1", "literal-secret-2", "resolved-secret", "resolved-key", "9f86d081884c7d659a2feaa0", "0a1b2c3d4e5f60718293a4b5", "$2a$12$", "a comment",
	}
	for what, test := range map[string]struct {
		text  string
		tells []string
	}{
		"text": {c.Text(), []string{
			"postgres://app:<redacted>@db.example.com/shop", "postgres://app:${env:SECRET}@db.example.com/shop", "${env:KEY}", "${env:SLUG}",
			"secret_key: \"<redacted>\"", "nightly-export", "public: true", "told at /ping/<redacted> with <redacted>", "bucket: shop-backups",
		}},
		"definition": {c.Definition(w), []string{"told at /ping/<redacted> with <redacted>", "http://127.0.0.1:8620/ping/<redacted>", "02:30"}},
	} {
		for _, s := range secrets {
			if strings.Contains(test.text, s) {
				t.Errorf("the %s tells %q:\n%s", what, s, test.text)
			}
		}
		for _, s := range test.tells {
			if !strings.Contains(test.text, s) {
				t.Errorf("the %s does not tell %q:\n%s", what, s, test.text)
			}
		}
		if err := yaml.Unmarshal([]byte(test.text), new(any)); err != nil {
			t.Errorf("the %s is no YAML: %v\n%s", what, err, test.text)
		}
	}
	if text := new(configs.Config).Text(); text != "" {
		t.Errorf("a configuration that was not read says %q", text)
	}
}
