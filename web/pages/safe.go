package pages

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// What jobs say is not trusted. html/template keeps it from being markup; what
// is left are characters that hide text or turn its direction around.

// safe makes what programs wrote fit for a page: control characters and those
// without a shape of their own are shown instead of obeyed, bytes that are not
// UTF-8 too. Line feeds and tabs stay.
func safe(text any) string {
	var in []byte
	switch t := text.(type) {
	case []byte:
		in = t
	case error:
		in = []byte(t.Error())
	default:
		in = fmt.Append(nil, t)
	}
	out := make([]byte, 0, len(in))
	for len(in) > 0 {
		r, size := utf8.DecodeRune(in)
		switch {
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\x%02x`, in[0])
		case r == '\r' && len(in) > 1 && in[1] == '\n':
		case r == '\r':
			out = append(out, '\n')
		case r == '\n' || r == '\t' || !hidden(r):
			out = append(out, in[:size]...)
		case r < 0x80:
			out = append(out, '^', byte(r)^0x40)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		in = in[size:]
	}
	return string(out)
}

func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}
