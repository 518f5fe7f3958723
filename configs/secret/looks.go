package secret

import "strings"

// LooksSecret tells whether an environment variable of that name probably
// holds a secret, going by the words that people use in such names. It errs on
// both sides: SORT_KEY does, and MY_LOGIN does not.
func LooksSecret(name string) bool {
	upper := strings.ToUpper(name)
	for _, word := range []string{"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY", "PRIVATE_KEY", "PRIVATEKEY", "WEBHOOK"} {
		if strings.Contains(upper, word) {
			return true
		}
	}
	parts := strings.Split(upper, "_")
	for _, part := range parts {
		if part == "KEY" || part == "PASS" || part == "DSN" {
			return true
		}
	}
	last := parts[len(parts)-1]
	return len(parts) > 1 && (last == "PWD" || last == "AUTH") // PWD alone is the working directory
}
