package secret

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// forms returns the texts under which the secrets may show up, longest first.
func forms(texts []string) []string {
	set := map[string]bool{}
	for _, text := range texts {
		for _, part := range parts(text) {
			for _, form := range encodings(part) {
				if len(form) >= MinLength {
					set[form] = true
				}
			}
		}
	}
	out := make([]string, 0, len(set))
	for form := range set {
		out = append(out, form)
	}
	slices.SortFunc(out, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return out
}

// parts returns a secret, its lines when it has several, and the passwords
// inside it when it is a URL or a connection string.
func parts(text string) []string {
	if len(text) < MinLength {
		return nil
	}
	out := append([]string{text, strings.TrimSpace(text)}, passwords(text)...)
	if strings.ContainsAny(text, "\r\n") {
		for line := range strings.Lines(text) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return slices.DeleteFunc(out, func(part string) bool { return len(part) < MinLength })
}

// keyword matches the password of a connection string of PostgreSQL
// ("host=db password='x y'"; section 34.1.1.1 of its manual).
var keyword = regexp.MustCompile(`(?i)(?:^|[\s;])(?:ssl)?(?:password|pwd)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|([^\s;]+))`)

// passwords returns the secret parts of a URL or a connection string, as they
// stand there and decoded.
func passwords(text string) []string {
	var out []string
	for _, found := range keyword.FindAllStringSubmatch(text, -1) {
		out = append(out, found[1], strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(found[1]), found[2])
	}
	_, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		return out
	}
	// By hand, because a password that was not encoded makes the URL invalid.
	if end := strings.LastIndexByte(rest, '@'); end >= 0 {
		if _, password, ok := strings.Cut(rest[:end], ":"); ok {
			out = append(out, password)
			if decoded, err := url.PathUnescape(password); err == nil {
				out = append(out, decoded)
			}
		}
	}
	if u, err := ParseURL(text); err == nil {
		if password, ok := u.User.Password(); ok {
			out = append(out, password)
		}
		for key, values := range u.Query() {
			if LooksSecret(key) {
				out = append(out, values...)
			}
		}
	}
	return out
}

// encodings returns text in every form that the Redactor knows.
func encodings(text string) []string {
	out := []string{text, hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text)))}
	out = append(out, percents(text)...)
	out = append(out, escapes(text)...)
	return append(out, base64s(text)...)
}

// percents returns text percent-encoded the way that Go, browsers, Python and
// curl do it, which differ in what they leave alone.
func percents(text string) []string {
	const unreserved = "-_.~" // RFC 3986, section 2.3
	out := []string{
		url.PathEscape(text), url.QueryEscape(text), strings.TrimPrefix(url.UserPassword("", text).String(), ":"),
		percent(text, unreserved), percent(text, unreserved+"/"), percent(text, unreserved+"!*'()"),
		percent(text, unreserved+"!*'();:@&=+$,/?#"),
	}
	for _, form := range slices.Clip(out) {
		out = append(out, lowerHex(form))
	}
	return out
}

// percent encodes all but letters, digits and the bytes in keep.
func percent(text, keep string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if letter || strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

// lowerHex writes the hexadecimal digits of percent-encoding in lower case.
func lowerHex(text string) string {
	b := []byte(text)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(string(b[i+1:i+3])))
			i += 2
		}
	}
	return string(b)
}

// escapes returns text as it stands inside quotes in JSON (with and without
// the escaping of HTML, of slashes and of everything beyond ASCII) and in Go.
func escapes(text string) []string {
	var out []string
	if quoted, err := json.Marshal(text); err == nil {
		out = append(out, string(quoted[1:len(quoted)-1]))
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err == nil {
		plain := strings.TrimSuffix(b.String(), "\n")
		plain = plain[1 : len(plain)-1]
		out = append(out, plain, strings.ReplaceAll(plain, "/", `\/`), ascii(plain))
	}
	goQuoted, goASCII := strconv.Quote(text), strconv.QuoteToASCII(text)
	return append(out, goQuoted[1:len(goQuoted)-1], goASCII[1:len(goASCII)-1])
}

// ascii writes every character beyond ASCII as \uXXXX, in pairs of surrogates
// where JSON needs them.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		units := []rune{r}
		if r > 0xffff {
			units = []rune{0xd800 + (r-0x10000)>>10, 0xdc00 + (r-0x10000)&0x3ff}
		}
		for _, unit := range units {
			b.WriteString(`\u` + hex.EncodeToString([]byte{byte(unit >> 8), byte(unit)}))
		}
	}
	return b.String()
}

// base64s returns text in base64, alone and as the part of a longer text that
// depends on nothing else, which comes in three forms according to where it
// begins. Encoders that break lines do so after 64 or 76 characters.
func base64s(text string) []string {
	var out []string
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift := range 3 {
			encoded := encoding.EncodeToString(append(make([]byte, shift), text...))
			if shift == 0 {
				out = append(out, encoded)
				for _, width := range []int{64, 76} {
					for from := 0; from < len(encoded) && len(encoded) > width; from += width {
						out = append(out, encoded[from:min(from+width, len(encoded))])
					}
				}
			}
			// The characters at both ends mix bits of text with bits of its
			// neighbors.
			first := []int{0, 2, 3}[shift]
			last := len(encoded)
			if (shift+len(text))%3 != 0 {
				last--
			}
			if first < last {
				out = append(out, encoded[first:last])
			}
		}
	}
	return out
}
