// Package browsertest shows the pages of a real service to a real browser. It
// knows how to start Chromium and a service, how to wait for what a page shows,
// and what no page may do: write errors to the console, break its own content
// security policy, or keep people out that use a keyboard or a screen reader.
// It refuses to know what the pages look like inside: it goes by what people
// see.
package browsertest
