package pagerduty

// Read is what the tests look at.
var Read = func(body []byte) string {
	r := read(body)
	return r.Status + r.Message
}
