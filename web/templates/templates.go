// Package templates holds the HTML of upkeep's pages. layout.html is the frame
// of all of them, files that begin with parts what they share; every other
// file is one page, which defines "main" and, where it needs more than the
// frame loads, "head". It refuses to know what is put into them.
package templates

import "embed"

// FS has the templates, all in its root.
//
//go:embed *.html
var FS embed.FS
