package pages

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/web/api"
)

// flashCookie carries what an action says to the page that is shown after it.
const flashCookie = "upkeep_flash"

// longestFlash bounds a text in bytes: browsers refuse cookies over 4096.
const longestFlash = 1000

// flash is a message about what was just done.
type flash struct {
	Tone tone   `json:"tone"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// flashOf says what is wrong.
func flashOf(err error) flash {
	p := api.ProblemOf(err)
	return flash{Tone: toneBad, Text: p.Error(), Hint: p.Hint()}
}

func setFlash(w http.ResponseWriter, r *http.Request, f flash) {
	f.Text, f.Hint = cut(f.Text, longestFlash), cut(f.Hint, longestFlash)
	text, err := json.Marshal(f)
	if err != nil {
		return // strings always have a JSON form
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // over plain HTTP on loopback a secure cookie would not come back
		Name: flashCookie, Value: base64.RawURLEncoding.EncodeToString(text), Path: "/", MaxAge: 60,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

// takeFlash returns what the action before this page said, once.
func takeFlash(w http.ResponseWriter, r *http.Request) []flash {
	cookie, err := r.Cookie(flashCookie)
	if err != nil {
		return nil
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // as above
		Name: flashCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	var f flash
	if err != nil || json.Unmarshal(text, &f) != nil || f.Text == "" {
		return nil
	}
	if f.Tone != toneBad {
		f.Tone = toneGood
	}
	return []flash{f}
}

// cut shortens text to at most this many bytes, between characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}
