package slack

// What the tests look at.
var (
	Fence   = fence
	Fit     = fit
	Units   = units
	PlaceOf = func(s string) (channel, ts string, ok bool) {
		p, ok := placeOf(s)
		return p.channel, p.ts, ok
	}
	Read = func(body []byte) (bool, string, error) {
		a, err := read(body)
		return a.OK, a.Error, err
	}
	Fallback = fallback
)
