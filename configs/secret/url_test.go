package secret_test

import (
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
)

// TestParseURL: several hosts are read as one list, and the password before
// them as in any other URL.
func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][3]string{
		"postgres://u:p%40w@a:5432,b:5433/db?x=1": {"a:5432,b:5433", "p@w", "/db"},
		"postgres://u@a,b/db":                     {"a,b", "", "/db"},
		"postgres://u:pw@[::1]:1,[::2]:2/db":      {"[::1]:1,[::2]:2", "pw", "/db"},
		"postgres://u:pw@a:5432/db":               {"a:5432", "pw", "/db"},
		"postgres://u:pw@/db?host=/run":           {"", "pw", "/db"},
		"https://a/x,y":                           {"a", "", "/x,y"},
	} {
		u, err := secret.ParseURL(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		password, _ := u.User.Password()
		if got := [3]string{u.Host, password, u.Path}; got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if again, err := secret.ParseURL(u.String()); err != nil || again.Host != u.Host {
			t.Errorf("%s is written as %s, which is not read: %v", text, u, err)
		}
	}
	for _, text := range []string{"postgres://u@a:x,b/db", "postgres://u@a:1,b:1:2/db", "postgres://u@a,[b/db"} {
		if u, err := secret.ParseURL(text); err == nil {
			t.Errorf("%s was read: %s", text, u)
		}
	}
}
