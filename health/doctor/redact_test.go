package doctor_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/health/doctor"
)

func TestSecrets_Text(t *testing.T) {
	t.Parallel()
	var s doctor.Secrets
	s.Add("hunter2-known")
	for name, tt := range map[string]struct{ in, want string }{
		"known":             {"say hunter2-known now", "say <redacted> now"},
		"URL":               {"open postgres://app:pl4nted@db:5432/x: refused", "open postgres://app:<redacted>@db:5432/x: refused"},
		"URL, bare signs":   {"postgres://app:pl@n/t3d@db/x", "postgres://app:<redacted>@db/x"},
		"URL without":       {"postgres://app@db/x", "postgres://app@db/x"},
		"token in URL":      {"https://pl4ntedt0ken@github.com/x", "https://<redacted>@github.com/x"},
		"query":             {"GET https://h/x?id=1&api_key=pl4nted", "GET https://h/x?id=1&api_key=<redacted>"},
		"assignment":        {"PGPASSWORD=pl4nted pg_dump", "PGPASSWORD=<redacted> pg_dump"},
		"quoted":            {`password="pl 4nted" x`, `password="<redacted>" x`},
		"connection string": {"host=db password='pl 4nted' user=x", "host=db password='<redacted>' user=x"},
		"YAML":              {"  webhook_url: https://x.example/pl4nted", "  webhook_url: <redacted>"},
		"JSON":              {`{"clientSecret":"pl4nted","n":1}`, `{"clientSecret":"<redacted>","n":1}`},
		"option":            {"tool --token pl4nted --verbose", "tool --token <redacted> --verbose"},
		"option with sign":  {"tool --db-password=pl4nted", "tool --db-password=<redacted>"},
		"header":            {"Authorization: Bearer pl4nted.x.y", "Authorization: <redacted>"},
		"header in argv":    {`curl -H 'Authorization: Basic cGw0bnRlZA=='`, `curl -H 'Authorization: <redacted>'`},
		"bearer":            {"sent bearer pl4nted1234", "sent bearer <redacted>"},
		"cookie":            {"Cookie: sid=pl4nted", "Cookie: <redacted>"},
		"AWS":               {"id AKIAIOSFODNN7EXAMPLE.", "id <redacted>."},
		"Slack":             {"xoxb-1234567890-pl4nted", "<redacted>"},
		"Slack hook":        {"post hooks.slack.com/services/T0/B0/pl4nted", "post <redacted>"},
		"GitHub":            {"ghp_0123456789abcdefghijpl4nted", "<redacted>"},
		"age":               {"AGE-SECRET-KEY-1PL4NTED", "<redacted>"},
		"JWT":               {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbDRudGVkIn0.c2lnbmF0dXJl", "<redacted>"},
		"key":               {"a\n-----BEGIN RSA PRIVATE KEY-----\npl4ntedpl4nted\n-----END RSA PRIVATE KEY-----\nb", "a\n<redacted>\nb"},
		"key, cut":          {"a\n-----BEGIN PRIVATE KEY-----\npl4ntedpl4nted\n", "a\n<redacted>"},
		"key, no beginning": {"a line\npl4ntedpl4ntedpl4nted\n-----END PRIVATE KEY-----\nb", "a line\n<redacted>\n<redacted>\nb"},
		"within a value":    {"msg=token=pl4nted", "msg=token=<redacted>"},
		"harmless":          {"key /var/lib, 12 tokens, keys: 3, path=/x, user=app", "key /var/lib, 12 tokens, keys: 3, path=/x, user=app"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := s.Text(tt.in)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if again := s.Text(got); again != got {
				t.Errorf("once more it is %q", again)
			}
		})
	}
}

func TestSecrets_LinesOfOneKey(t *testing.T) {
	t.Parallel()
	var s doctor.Secrets
	got := strings.Join(s.Lines([]string{"x", "-----BEGIN PRIVATE KEY-----", "pl4ntedpl4nted", "-----END PRIVATE KEY-----", "y"}), "|")
	if got != "x|<redacted>|y" {
		t.Error(got)
	}
}

func TestSecrets_AddEnvironment(t *testing.T) {
	t.Parallel()
	var s doctor.Secrets
	s.AddEnvironment([]string{"API_TOKEN=pl4nted", "DATABASE_URL=postgres://app:s3same0pen@db/x", "HOME=/root-is-home", "DB_PASSWORD=default", "EMPTY_TOKEN=", "noise"})
	if got := s.Text("pl4nted s3same0pen /root-is-home default"); got != "<redacted> <redacted> /root-is-home default" {
		t.Error(got)
	}
}

// TestSecrets_AddText: a configuration that does not load still tells what is
// secret.
func TestSecrets_AddText(t *testing.T) {
	t.Parallel()
	var s doctor.Secrets
	const text = `
stores: {s: {kind: s3, secret_key: in-flow-pl4nted, bucket: bucket-name}}
channels:
  mail: {password: "quoted pl4nted"
  # commented: ${file:never/read}
databases: {d: {url: "${env:SECRET_DB}"}}
token: ${file:secrets/token}
other: ${env:UNSET:-x}
`
	read := []string{}
	s.AddText(text, func(name string) (string, bool) {
		return map[string]string{"SECRET_DB": "postgres://u:from-env-pl4nted@h/d"}[name], name == "SECRET_DB"
	}, func(name string) (string, error) {
		read = append(read, name)
		return "from-file-pl4nted\n", nil
	})
	if diff := cmp.Diff([]string{"secrets/token"}, read); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(read, doctor.References(text)); diff != "" {
		t.Error(diff)
	}
	if got := s.Text("in-flow-pl4nted quoted pl4nted from-env-pl4nted from-file-pl4nted bucket-name"); strings.Contains(got, "pl4nted") || !strings.Contains(got, "bucket-name") {
		t.Error(got)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		argv []string
		want string
	}{
		"option apart":    {[]string{"tool", "--password", "pl4nted", "-v"}, "tool --password <redacted> -v"},
		"option together": {[]string{"tool", "--api-token=pl4nted"}, "tool --api-token=<redacted>"},
		"redis":           {[]string{"/usr/bin/redis-cli", "-a", "pl4nted", "PING"}, "/usr/bin/redis-cli -a <redacted> PING"},
		"mysql":           {[]string{"mysql", "-ppl4nted", "-u", "root"}, "mysql -p<redacted> -u root"},
		"curl":            {[]string{"curl", "-u", "me:pl4nted", "https://h/"}, "curl -u <redacted> https://h/"},
		"blank":           {[]string{"sh", "-c", "echo x", ""}, "sh -c 'echo x' ''"},
		"long":            {[]string{"tool", strings.Repeat("x", 490), "cut-here"}, "tool " + strings.Repeat("x", 490) + " …"},
		"longest":         {[]string{"tool", strings.Repeat("x", 5000)}, "tool …"},
	} {
		if got := doctor.CommandLine(tt.argv); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("x postgres://u:p@h/d?token=1 Authorization: Bearer abcdefgh")
	f.Add("-----END PRIVATE KEY-----\n-----BEGIN PRIVATE KEY-----")
	f.Add("a=b=c --password 'x")
	f.Fuzz(func(t *testing.T, text string) {
		var s doctor.Secrets
		s.Add("hunter2-known")
		for _, in := range []string{text, text + "hunter2-known" + text} {
			if got := s.Text(in); strings.Contains(got, "hunter2-known") {
				t.Errorf("%q stays in %q", in, got)
			}
		}
	})
}
