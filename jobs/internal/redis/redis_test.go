package redis_test

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs/internal/redis"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"redis://":                                   "localhost:6379/0",
		"redis://cache":                              "cache:6379/0",
		"redis://user:p%40ss@cache:7000/3":           "cache:7000/3",
		"redis://:planted@[::1]:7000/?db=4":          "[::1]:7000/4",
		"rediss://cache/2?ssl_ca_certs=/ca.pem":      "cache:6379/2",
		"unix:///run/redis.sock?db=5":                "/run/redis.sock/5",
		"unix://:planted@/run/redis.sock":            "/run/redis.sock/0",
		" redis://cache?max_connections=5 ":          "cache:6379/0",
		"redis://cache/x":                            "error: not a number",
		"redis://cache?db=-1":                        "error: not a number",
		"redis://cache:planted/0":                    "error: is not redis://",
		"cache:6379":                                 "error: is not redis://",
		"http://cache":                               "error: is not redis://",
		"unix://run/redis.sock":                      "error: is not redis://",
		"":                                           "error: is not redis://",
		"rediss://cache?ssl_cert_reqs=none":          "error: switches the verification",
		"rediss://cache?skip_verify=true":            "error: switches the verification",
		"rediss://cache?ssl_certfile=/planted.pem":   "error: go together",
		"redis://user:planted@cache\x7f/0":           "error: is not redis://",
		"redis://user:planted@cache:port-of-planted": "error: is not redis://",
	} {
		a, err := redis.ParseAddress(secret.New(text))
		if part, bad := strings.CutPrefix(want, "error: "); bad {
			if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "planted") {
				t.Errorf("%s: error %v, want %q", text, err, part)
			}
		} else if err != nil || a.Where() != want {
			t.Errorf("%s: %s, %v, want %s", text, a.Where(), err, want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("redis://user:password@host:1/2?db=3")
	f.Add("unix://:x@/s")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := redis.ParseAddress(secret.New(text)); err != nil && len(text) > 12 && strings.Contains(err.Error(), text) {
			t.Fatalf("%q repeats the address", err)
		}
	})
}

// TestConnect: a connection knows its server, and a wrong password is not shown.
func TestConnect(t *testing.T) {
	t.Parallel()
	text := os.Getenv("UPKEEP_TEST_REDIS_URL")
	if text == "" {
		t.Fatal("UPKEEP_TEST_REDIS_URL is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh")
	}
	a, err := redis.ParseAddress(secret.New(text))
	if err != nil {
		t.Fatal(err)
	}
	c, err := redis.Connect(t.Context(), a.WithDatabase(9))
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Server; s.Version == "" || s.Mode != "standalone" || s.Replica || s.UsedMemory == 0 || s.Policy == "" || s.LFU() {
		t.Errorf("server %+v", s)
	}
	if _, next, err := c.Scan(t.Context(), 0, "none:*", "string", 10); err != nil || next != 0 {
		t.Errorf("scan: %d, %v", next, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("default", "planted")
	if a, err = redis.ParseAddress(secret.New(u.String())); err != nil {
		t.Fatal(err)
	}
	if c, err := redis.Connect(context.Background(), a); c != nil || err == nil || strings.Contains(err.Error(), "planted") {
		t.Errorf("a wrong password: %v", err)
	}
}
